//! A stream filter of one's own: requests without the right token are denied.
//!
//! ```sh
//! cargo run --release --example custom_filter
//! ```
//!
//! It runs a proxy with that filter in front of an echo server, and calls it with and without.
#![allow(clippy::print_stdout)] // a program talks to its user

use proxy::client::Call;
use proxy::codec::{LocalReply, bolt};
use proxy::filter::{FilterError, Flow, Record, Request, StreamFilter};
use proxy::{Client, Config, EchoServer, Filters, Server};

/// One for each request.
struct Token {
    wanted: String,
}

impl StreamFilter for Token {
    fn before_route(&mut self, request: &mut Request<'_>) -> Flow {
        match request.header("token") {
            Ok(Some(token)) if token == self.wanted.as_bytes() => Flow::Continue,
            _ => Flow::Reply(LocalReply::Denied),
        }
    }

    fn on_end(&mut self, record: &Record) {
        println!("request {} took {:?}: {:?}", record.request_id, record.duration, record.reply);
    }
}

/// The type `token`, as a configuration names it: `{"type": "token", "config": "TOKEN"}`.
fn filters() -> Filters {
    let mut filters = Filters::new();
    filters.add("token", |config| {
        let Some(wanted) = config.as_str().map(str::to_owned) else {
            return Err(FilterError::new("", format!("expected a token, found {config}")));
        };
        Ok(move || Box::new(Token { wanted: wanted.clone() }) as Box<dyn StreamFilter>)
    });
    filters
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = r#""name": "demo", "stream_filters": [{"type": "token", "config": "sesame"}],"#;
    let text = proxy::DEMO_CONFIG.replace(r#""name": "demo","#, listener);
    let mut config = Config::parse_with("inline.json".as_ref(), &text, &filters())?;
    reactor::block_on(async {
        let echo = EchoServer::start("127.0.0.1:0".parse()?)?;
        config.clusters[0].hosts = vec![echo.address().into()];
        let server = Server::start_with(&config, &filters())?;
        let client = Client::connect(server.addresses()[0]).await?;
        for token in ["sesame", "guess"] {
            let mut header = Vec::new();
            bolt::push_header(b"token", token.as_bytes(), &mut header);
            let answer = client.call(&Call { header: &header, ..Call::new(b"hello") }).await?;
            println!("with `{token}`: status {}", answer.status());
        }
        Ok(())
    })?
}
