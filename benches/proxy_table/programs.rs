//! The proxies that are compared, each with a configuration that forwards to one upstream.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::Server;

/// A proxy.
pub(crate) struct Program {
    /// The name of its column.
    pub(crate) name: &'static str,
    path: PathBuf,
    upstream: SocketAddr,
    /// The words of its command line around the configuration's file.
    words: fn(&str) -> Vec<String>,
    config: fn(SocketAddr, SocketAddr) -> String,
}

impl Program {
    pub(crate) fn start(&self) -> io::Result<Server> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let name = format!("proxy-table-{}-{}", std::process::id(), address.port());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, (self.config)(address, self.upstream))?;
        let words = (self.words)(&file.display().to_string());
        let server = Server::start(&self.path, &words, address);
        // It has been read.
        fs::remove_file(file)?;
        server
    }
}

/// Builds our proxy and the load; the directory they are in.
pub(crate) fn build() -> io::Result<PathBuf> {
    let this = std::env::current_exe()?;
    // TARGET/release/examples/proxy_table
    let bin = this.ancestors().nth(2).expect("an example lies in a target directory");
    let target = bin.parent().expect("a profile lies in a target directory");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for what in [["proxy", "--bin", "proxy"], ["benches", "--example", "proxy_load"]] {
        let mut command = Command::new(&cargo);
        command.args(["build", "--quiet", "--release", "--locked", "--target-dir"]).arg(target);
        command.arg("--package").args(what).current_dir(env!("CARGO_MANIFEST_DIR"));
        if !command.status()?.success() {
            return Err(io::Error::other(format!("{command:?} failed")));
        }
    }
    Ok(bin.to_path_buf())
}

/// All of them; the first is the reference. `beside` is another build of ours.
pub(crate) fn all(
    bin: &Path,
    beside: Option<&Path>,
    upstream: SocketAddr,
) -> io::Result<Vec<Program>> {
    let nginx = installed("nginx", "nginx libnginx-mod-stream")?;
    let haproxy = installed("haproxy", "haproxy")?;
    let program = |name, path: &Path, words, config| Program {
        name,
        path: path.to_path_buf(),
        upstream,
        words,
        config,
    };
    let mut all = vec![
        program("nginx", &nginx, nginx_words, nginx_config),
        program("nginx-again", &nginx, nginx_words, nginx_config),
        program("HAProxy", &haproxy, haproxy_words, haproxy_config),
        program("ours", &bin.join("proxy"), our_words, our_config),
    ];
    all.extend(beside.map(|path| program("beside", path, our_words, our_config)));
    Ok(all)
}

fn installed(name: &str, packages: &str) -> io::Result<PathBuf> {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"];
    let found =
        places.map(|place| Path::new(place).join(name)).into_iter().find(|path| path.exists());
    found.ok_or_else(|| {
        io::Error::other(format!("there is no {name}; on Debian: apt-get install {packages}"))
    })
}

fn nginx_words(file: &str) -> Vec<String> {
    ["-e", "stderr", "-c", file].map(String::from).to_vec()
}

/// One process, so that it is the one that is measured.
fn nginx_config(address: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
         daemon off; master_process off; worker_processes 1; pid /dev/null;\n\
         error_log stderr crit; worker_rlimit_nofile 8192;\n\
         events {{ worker_connections 4096; }}\n\
         stream {{ server {{ listen {address} backlog=4096; tcp_nodelay on; proxy_pass {upstream}; }} }}\n"
    )
}

fn haproxy_words(file: &str) -> Vec<String> {
    ["-db", "-q", "-f", file].map(String::from).to_vec()
}

/// A connection may be idle for longer than a minute, while the others have their slices.
fn haproxy_config(address: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 4000\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 10m\n  timeout server 10m\n\
         listen bench\n  bind {address} backlog 4096\n  server upstream {upstream}\n"
    )
}

fn our_words(file: &str) -> Vec<String> {
    ["-c", file].map(String::from).to_vec()
}

/// It routes by a header, which must be found in each request.
fn our_config(address: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        r#"{{"servers": [{{
          "routers": [{{"router_config_name": "r", "virtual_hosts": [{{"domains": ["*"], "routers": [
            {{"match": {{"headers": [{{"name": "service", "value": "bench"}}]}},
              "route": {{"cluster_name": "c"}}}}]}}]}}],
          "listeners": [{{"address": "{address}", "filter_chains": [{{"filters": [{{"type": "proxy",
            "config": {{"downstream_protocol": "bolt", "router_config_name": "r"}}}}]}}]}}]}}],
        "cluster_manager": {{"clusters": [{{"name": "c", "hosts": [{{"address": "{upstream}"}}]}}]}},
        "limits": {{"client_idle_timeout": "10m"}}}}"#
    )
}
