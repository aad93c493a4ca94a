//! A plugin that makes the host calls it is told to and logs every answer.
//!
//! The VM's configuration is a list of sheets. A request names one by the header `x-probe`, and the probe then runs it in every callback of the
//! stream, or runs each line in the callback that it names; `root NAME` lines of the configuration name sheets for callbacks of the root
//! context. Two hosts agree when they log the same lines.
//!
//! ```text
//! root start
//! = headers
//! get_header_map_value 0 "cookie"
//! @request_headers define_metric 0 "hits" > m
//! @response_body return 1
//! ```
#![cfg(target_arch = "wasm32")]
#![expect(
    unsafe_code,
    reason = "it makes host calls with good and bad pointers, on purpose; it is a test and never leaves the machine"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::same_length_and_capacity,
    clippy::too_many_lines,
    reason = "numbers are handed over as they are written, and a wasm32 module has pointers of 32 bits"
)]

mod calls;
mod exports;
mod sheet;
mod state;
