//! The types of filters that a configuration may name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{MakeFilter, MakeNetworkFilter, NetworkFilter, StreamFilter};
use crate::filters;

/// Makes filters of one type as their configuration says.
type Build<T> = Arc<dyn Fn(&Value) -> Result<T, FilterError> + Send + Sync>;

/// The types of filters that a configuration may name: the built-in ones, and those that are added.
/// It may be cloned and sent to other threads; each of them builds its own filters.
#[derive(Clone)]
pub struct Filters {
    stream: BTreeMap<String, Build<MakeFilter>>,
    network: BTreeMap<String, Build<MakeNetworkFilter>>,
}

/// What is wrong with a filter's object `config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Where within the object, such as `delay.percentage`; empty for the object itself.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl FilterError {
    /// An error at `path`.
    pub fn new(path: &str, message: impl Into<String>) -> Self {
        FilterError { path: path.to_owned(), message: message.into() }
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl std::error::Error for FilterError {}

/// Why there is no such filter.
#[derive(Debug)]
pub(crate) enum BuildError {
    /// Its type is none of these.
    Type(String),
    /// Its configuration is wrong.
    Config(FilterError),
}

fn build<T>(
    types: &BTreeMap<String, Build<T>>,
    name: &str,
    config: &Value,
) -> Result<T, BuildError> {
    match types.get(name) {
        Some(build) => build(config).map_err(BuildError::Config),
        None => {
            let names: Vec<String> = types.keys().map(|name| format!("`{name}`")).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(BuildError::Type(format!("unknown filter `{name}`, there is {names}")))
        }
    }
}

impl Filters {
    /// The built-in types: the stream filters `fault`, `rate_limit` and `headers`.
    pub fn new() -> Self {
        let mut filters = Filters { stream: BTreeMap::new(), network: BTreeMap::new() };
        filters.add("fault", filters::fault::build);
        filters.add("rate_limit", filters::rate_limit::build);
        filters.add("headers", filters::headers::build);
        filters
    }

    /// Adds a type of stream filter, in place of one of the same name. `build` is called once for every listener that
    /// names it, with its object `config`: once to check it, and once on each worker to use it. What
    /// it returns makes one filter for each request.
    pub fn add<F>(
        &mut self,
        name: &str,
        build: impl Fn(&Value) -> Result<F, FilterError> + Send + Sync + 'static,
    ) where
        F: Fn() -> Box<dyn StreamFilter> + 'static,
    {
        let build = move |config: &Value| Ok(std::rc::Rc::new(build(config)?) as MakeFilter);
        self.stream.insert(name.to_owned(), Arc::new(build));
    }

    /// Adds a type of network filter; as [`add`](Self::add).
    pub fn add_network<F>(
        &mut self,
        name: &str,
        build: impl Fn(&Value) -> Result<F, FilterError> + Send + Sync + 'static,
    ) where
        F: Fn() -> Box<dyn NetworkFilter> + 'static,
    {
        let build = move |config: &Value| Ok(std::rc::Rc::new(build(config)?) as MakeNetworkFilter);
        self.network.insert(name.to_owned(), Arc::new(build));
    }

    /// Builds the stream filter of this type.
    pub(crate) fn build(&self, name: &str, config: &Value) -> Result<MakeFilter, BuildError> {
        build(&self.stream, name, config)
    }

    /// Builds the network filter of this type.
    pub(crate) fn build_network(
        &self,
        name: &str,
        config: &Value,
    ) -> Result<MakeNetworkFilter, BuildError> {
        build(&self.network, name, config)
    }
}

impl Default for Filters {
    fn default() -> Self {
        Filters::new()
    }
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = (self.stream.keys(), self.network.keys());
        f.debug_struct("Filters").field("stream", &names.0).field("network", &names.1).finish()
    }
}

/// Reads a filter's object `config`, with the place of what is wrong in it.
///
/// # Errors
/// It does not have the shape of `T`.
pub fn read<T: DeserializeOwned>(config: &Value) -> Result<T, FilterError> {
    serde_path_to_error::deserialize(config).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "" } else { &path };
        FilterError { path: path.to_owned(), message: error.inner().to_string() }
    })
}
