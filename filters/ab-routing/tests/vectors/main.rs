//! The vectors that the SDKs' own projects publish, translated into our configuration and run through the filter.
//!
//! They are read from beside the repository and never copied into it. A row that is not translated is named with the reason, and the lists are
//! checked: a row that is gone, and one that is new, fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_precision_loss,
    clippy::too_many_lines,
    reason = "a test that panics has failed, as it should"
)]

mod flagd;
mod growthbook;
mod run;
mod sticky;
mod unleash;

use ab_routing::AbRouting;
use filter_kit::{
    Environment,
    fake::{Outcome, Stream},
    load,
};
use serde_json::Value;
use std::{fs, path::Path};

/// The text of a file of the vectors.
fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/ab").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("the published vectors must stand beside the repository: {}: {error}", path.display())
    })
}

/// A file of the vectors as JSON.
fn json(file: &str) -> Value {
    serde_json::from_str(&text(file)).unwrap()
}

/// The secret of every configuration here.
const SECRET: &str = "a secret of the virtual machine";

/// Loads a configuration.
fn try_filter(config: &Value) -> Result<AbRouting, String> {
    let variables = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    load(config.to_string().as_bytes(), &Environment::new(&variables)).map_err(|error| error.to_string())
}

/// Runs a request through a configuration.
#[track_caller]
fn drive(config: &Value, request: &Stream) -> Outcome {
    match try_filter(config) {
        Ok(filter) => request.drive(&filter),
        Err(error) => panic!("{error}\n{config:#}"),
    }
}

/// The arm in a header of what the upstream gets.
fn arm(outcome: &Outcome, header: &str) -> Option<String> {
    let values = outcome.request_header(header);
    assert!(values.len() <= 1, "{values:?}");
    values.into_iter().next()
}

/// A principal that may ask for arms.
fn tester(request: Stream) -> Stream {
    request.property("connection.uri_san_peer_certificate", "spiffe://test/qa")
}
