//! The SDK with two counters and a histogram of durations, each of one series: the least that a plugin with metrics does, for the bench.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the SDK's macro makes an export without any")]

use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{Action, ContextType, MetricType},
};
use std::time::{Duration, SystemTime};

/// The ids of the series.
#[derive(Clone, Copy, Default)]
struct Ids {
    started: u32,
    ended: u32,
    duration: u32,
}

#[derive(Default)]
struct Root(Ids);

struct Stream {
    ids: Ids,
    start: SystemTime,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let define = |kind, name| hostcalls::define_metric(kind, name).unwrap_or_default();
        self.0 = Ids {
            started: define(MetricType::Counter, "sdk_requests_started_total"),
            ended: define(MetricType::Counter, "sdk_requests_ended_total"),
            duration: define(MetricType::Histogram, "sdk_request_duration_milliseconds"),
        };
        true
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { ids: self.0, start: SystemTime::UNIX_EPOCH }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.start = self.get_current_time();
        let _ = hostcalls::increment_metric(self.ids.started, 1);
        Action::Continue
    }

    fn on_log(&mut self) {
        let duration = self.get_current_time().duration_since(self.start).unwrap_or(Duration::ZERO);
        let _ = hostcalls::increment_metric(self.ids.ended, 1);
        let _ = hostcalls::record_metric(self.ids.duration, u64::try_from(duration.as_millis()).unwrap_or(0));
    }
}

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::<Root>::default() });
}}
