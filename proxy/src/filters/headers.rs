//! Adding and removing headers, of requests before they are routed and of answers.
//!
//! ```json
//! {"type": "headers", "config": {
//!   "request_headers_to_add": [{"header": {"key": "zone", "value": "a"}}],
//!   "request_headers_to_remove": ["debug"],
//!   "response_headers_to_add": [{"header": {"key": "via", "value": "proxy"}}],
//!   "response_headers_to_remove": ["server"]
//! }}
//! ```
//!
//! What is removed goes first; what is added replaces headers of the same name. The frame is built
//! anew, which only Bolt's codec can. Frames of other protocols, and those whose headers would become
//! too long or cannot be read, go on as they are.

use std::rc::Rc;

use serde::Deserialize;
use serde_json::Value;

use crate::codec::HeaderError;
use crate::filter::{FilterError, Flow, Request, Response, StreamFilter, read};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    request_headers_to_add: Vec<Add>,
    request_headers_to_remove: Vec<String>,
    response_headers_to_add: Vec<Add>,
    response_headers_to_remove: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    header: Header,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    key: String,
    value: String,
}

struct Headers(Rc<Config>);

impl StreamFilter for Headers {
    fn before_route(&mut self, request: &mut Request<'_>) -> Flow {
        edit(&self.0.request_headers_to_remove, &self.0.request_headers_to_add, |name, value| {
            match value {
                Some(value) => request.set_header(name, value),
                None => request.remove_header(name),
            }
        })
    }

    fn on_response(&mut self, response: &mut Response<'_>) -> Flow {
        edit(&self.0.response_headers_to_remove, &self.0.response_headers_to_add, |name, value| {
            match value {
                Some(value) => response.set_header(name, value),
                None => response.remove_header(name),
            }
        })
    }
}

fn edit(
    remove: &[String],
    add: &[Add],
    mut set: impl FnMut(&str, Option<&str>) -> Result<(), HeaderError>,
) -> Flow {
    let remove = remove.iter().map(|name| (&**name, None));
    let add = add.iter().map(|Add { header }| (&*header.key, Some(&*header.value)));
    for (name, value) in remove.chain(add) {
        if let Err(error) = set(name, value) {
            log::debug!("header `{name}`: {error}");
            break;
        }
    }
    Flow::Continue
}

pub(crate) fn build(
    config: &Value,
) -> Result<impl Fn() -> Box<dyn StreamFilter> + use<>, FilterError> {
    let config: Rc<Config> = Rc::new(read(config)?);
    Ok(move || Box::new(Headers(Rc::clone(&config))) as Box<dyn StreamFilter>)
}
