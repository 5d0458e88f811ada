//! The servers that are compared, and how they are built.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A server: it takes the address to listen on and then `words`, and prints `listening on ADDRESS`.
#[derive(Clone)]
pub(crate) struct Program {
    /// The name of its column.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) words: Vec<String>,
    /// Whether it runs well under valgrind. Go does not.
    pub(crate) valgrind: bool,
}

impl Program {
    /// This forwarder with the address it forwards to, behind its words.
    pub(crate) fn to(&self, upstream: &str) -> Self {
        let mut forwarder = self.clone();
        forwarder.words.push(upstream.into());
        forwarder
    }
}

/// Column, file, word after the address. The first is the reference.
const COLUMNS: [(&str, &str, Option<&str>); 11] = [
    ("C", "echo_c", None),
    ("mio", "echo_mio", None),
    ("libev", "echo_libev", None),
    ("tokio", "echo_tokio", None),
    ("tokio (idle buffer)", "echo_tokio", Some("idle-buffer")),
    ("smol", "echo_smol", None),
    ("smol (idle buffer)", "echo_smol", Some("idle-buffer")),
    ("monoio", "echo_monoio", None),
    ("Go", "echo_go", None),
    ("ours", "echo", None),
    ("ours (idle buffer)", "echo_plain", None),
];

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/servers");

/// Where cargo puts this program and the others.
pub(crate) fn directory() -> io::Result<PathBuf> {
    let this = std::env::current_exe()?;
    Ok(this.parent().expect("an executable lies in a directory").to_path_buf())
}

/// Builds all servers and the load into `bin`. `only` names columns; the reference is always there.
pub(crate) fn build(bin: &Path, only: &[String]) -> io::Result<Vec<Program>> {
    if let Some(name) = only.iter().find(|name| COLUMNS.iter().all(|column| column.0 != **name)) {
        let known = COLUMNS.map(|column| column.0).join("\", \"");
        return Err(io::Error::other(format!("there is no column \"{name}\", but \"{known}\"")));
    }
    cargo(bin, &["--package", "benches", "--examples"])?;
    cargo(bin, &["--package", "examples", "--example", "echo", "--example", "tcp_forwarder"])?;
    let c = compile("C", "cc", &["-O2", "-Wall", "-o"], bin, "echo_c", "echo.c")?;
    let libev = c && has_libev() && {
        let options = ["-O2", "-Wall", "-Wno-strict-aliasing", "-Wl,--no-as-needed", "-lev", "-o"];
        compile("libev", "cc", &options, bin, "echo_libev", "echo_libev.c")?
    };
    let go = compile("Go", "go", &["build", "-o"], bin, "echo_go", "echo.go")?;
    if !c {
        let text = "without a C compiler there is no reference; on Debian: apt-get install gcc";
        return Err(io::Error::other(text));
    }
    let wanted = |name: &str| name == "C" || only.is_empty() || only.iter().any(|o| o == name);
    Ok(COLUMNS
        .into_iter()
        .filter(|(name, _, _)| wanted(name) && (*name != "Go" || go) && (*name != "libev" || libev))
        .map(|(name, file, word)| Program {
            name: name.into(),
            path: bin.join(file),
            words: word.map(String::from).into_iter().collect(),
            valgrind: name != "Go",
        })
        .collect())
}

/// The forwarders, without the address they forward to. The first is the reference.
pub(crate) fn forwarders(bin: &Path) -> Vec<Program> {
    let program = |name: &str, file: &str, words: &[&str]| Program {
        name: name.into(),
        path: bin.join(file),
        words: words.iter().copied().map(String::from).collect(),
        valgrind: true,
    };
    vec![
        program("tokio's copy_bidirectional", "forward_tokio", &[]),
        program("ours", "tcp_forwarder", &["--to"]),
    ]
}

fn cargo(bin: &Path, what: &[&str]) -> io::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Where this program came from, whatever the environment says: TARGET/release/examples.
    let target = bin.ancestors().nth(2).unwrap_or(bin);
    let mut command = Command::new(cargo);
    // Not quiet: it waits for as long as another cargo builds in the same directory, and says so.
    command.args(["build", "--release", "--locked", "--target-dir"]).arg(target);
    succeed(command.args(what).current_dir(env!("CARGO_MANIFEST_DIR")))
}

/// Whether the compiler is there.
fn compile(
    language: &str,
    compiler: &str,
    options: &[&str],
    bin: &Path,
    program: &str,
    source: &str,
) -> io::Result<bool> {
    let source = Path::new(SOURCES).join(source);
    let result = succeed(Command::new(compiler).args(options).arg(bin.join(program)).arg(source));
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            left_out(language, &format!("there is no `{compiler}` here"));
            Ok(false)
        }
        result => result.map(|()| true),
    }
}

/// Whether the header and the library of libev are installed; on Debian they are in `libev-dev`.
fn has_libev() -> bool {
    let probe =
        ["-x", "c", "-include", "ev.h", "-lev", "-shared", "-fPIC", "-o", "/dev/null", "/dev/null"];
    let found = Command::new("cc").args(probe).stderr(Stdio::null()).status();
    let there = found.is_ok_and(|status| status.success());
    if !there {
        left_out(
            "libev",
            "there is no `ev.h` or no library here; on Debian: apt-get install libev-dev",
        );
    }
    there
}

fn left_out(language: &str, why: &str) {
    eprintln!("!!! SKIPPED: {language} ({why})");
    println!("**SKIPPED: {language} ({why})**\n");
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {status}")))
}
