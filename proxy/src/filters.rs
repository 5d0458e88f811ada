//! The filters that come with the proxy.

pub mod fault;
pub mod headers;
pub mod rate_limit;
