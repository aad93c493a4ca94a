//! Where a request's key is.

use filter_kit::{HeaderName, View};
use std::borrow::Cow;

/// The longest key that is bucketed, in bytes. It bounds what a client can make a request cost.
pub const KEY_LIMIT: usize = 4096;

/// Where a key is looked for, in this order.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyList {
    /// The first of these that is present.
    pub sources: Vec<KeySource>,
    /// The cookie for visitors without a key, by its place among the filter's.
    pub visitor_cookie: Option<usize>,
}

/// A place where a key may be.
#[derive(Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The first value of a header.
    Header(HeaderName),
    /// The first cookie of a name.
    Cookie(Box<str>),
    /// The first query parameter of a name, decoded.
    Query(Box<str>),
}

impl KeySource {
    /// The request header that it reads.
    pub fn header(&self) -> &str {
        match self {
            Self::Header(name) => name.as_str(),
            Self::Cookie(_) => "cookie",
            Self::Query(_) => ":path",
        }
    }

    /// The name of the header, cookie or parameter.
    pub fn name(&self) -> &str {
        match self {
            Self::Header(name) => name.as_str(),
            Self::Cookie(name) | Self::Query(name) => name,
        }
    }

    /// The key, where it is present.
    pub fn read<'a>(&self, view: &'a View<'_>) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Header(name) => view.request_header(name.as_str()).map(Cow::Borrowed),
            Self::Cookie(name) => view.cookie(name).map(Cow::Borrowed),
            Self::Query(name) => view.query_parameter(name),
        }
    }
}
