//! The types of filters that a configuration may name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{MakeFilter, StreamFilter};
use crate::filters;

type Build = Arc<dyn Fn(&Value) -> Result<MakeFilter, FilterError> + Send + Sync>;

/// The types of stream filters that a configuration may name: the built-in ones, and those that are
/// added. It may be cloned and sent to other threads; each of them builds its own filters.
#[derive(Clone)]
pub struct Filters {
    types: BTreeMap<String, Build>,
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

impl Filters {
    /// The built-in types: `fault`, `rate_limit` and `headers`.
    pub fn new() -> Self {
        let mut filters = Filters { types: BTreeMap::new() };
        filters.add("fault", filters::fault::build);
        filters.add("rate_limit", filters::rate_limit::build);
        filters.add("headers", filters::headers::build);
        filters
    }

    /// Adds a type, in place of one of the same name. `build` is called once for every listener that
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
        self.types.insert(name.to_owned(), Arc::new(build));
    }

    /// Builds the filter of this type; `None` when there is no such type.
    pub(crate) fn build(
        &self,
        name: &str,
        config: &Value,
    ) -> Option<Result<MakeFilter, FilterError>> {
        self.types.get(name).map(|build| build(config))
    }

    /// The types there are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }
}

impl Default for Filters {
    fn default() -> Self {
        Filters::new()
    }
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filters").field(&self.types.keys()).finish()
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
