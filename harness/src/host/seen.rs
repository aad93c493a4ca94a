//! What a filter sees of an exchange where it begins, for who asks without a module.

use super::{linker::metadata, message};
use crate::scenario::{Exchange, Headers};
use std::collections::BTreeMap;

/// Headers and properties as the connection manager hands them to the first filter.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The request's headers.
    pub request: Headers,
    /// The headers of the upstream's response.
    pub response: Headers,
    /// Whether nothing follows the request's headers.
    pub is_last: bool,
    /// What is known of the connection, serialised; the parts of a property's path are joined by dots.
    pub properties: BTreeMap<String, Vec<u8>>,
}

impl Seen {
    /// What a filter sees of an exchange. `request_id` is the one that the proxy gives a request that has none.
    pub fn new(exchange: &Exchange, request_id: &str) -> Self {
        let request = message::request(&exchange.request, request_id);
        let connection = &exchange.connection;
        let mut properties: BTreeMap<String, Vec<u8>> = [
            ("source.address", connection.source_address().to_string().into_bytes()),
            ("destination.address", connection.destination.to_string().into_bytes()),
            ("connection.requested_server_name", connection.sni.clone().into_bytes()),
            ("metadata", metadata::message(&connection.metadata)),
        ]
        .map(|(path, value)| (path.to_owned(), value))
        .into();
        if let Some(principal) = &connection.principal {
            properties
                .insert("connection.uri_san_peer_certificate".to_owned(), principal.clone().into_bytes());
        }
        for (key, value) in &connection.state {
            properties.insert(format!("filter_state.{key}"), value.0.clone());
            if let Some(key) = key.strip_prefix("wasm.") {
                properties.insert(key.to_owned(), value.0.clone());
            }
        }
        let response = message::response(&exchange.response, &exchange.request.method, 0);
        Self { request: request.headers, response: response.headers, is_last: !request.has_body, properties }
    }
}
