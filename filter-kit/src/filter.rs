//! What a filter is.

use crate::{Callbacks, ConfigError, Effects, Environment, Phase, View, metrics::Metrics, settings::Field};
use std::time::Duration;

/// A filter's logic, without the ABI.
///
/// All failure is in [`compile`](Filter::compile). A callback cannot fail: it answers with [`Effects`], and no effect means that the
/// stream goes on untouched. `stream` is what the filter remembers of one stream from callback to callback; `None` costs nothing.
pub trait Filter: Sized + 'static {
    /// The filter's name in logs, such as `ab-routing`.
    const NAME: &'static str;
    /// The callbacks that the host is asked for; the others are never called.
    const CALLBACKS: Callbacks;
    /// Callbacks that have nothing to do for a stream of which nothing is remembered: they are not called for one.
    const ONLY_REMEMBERED: Callbacks = Callbacks::NONE;
    /// Whether requests bring series into being: without it, only those that the configuration names are counted, and a module has no code for others.
    const HAS_LABELS: bool = true;
    /// How many filters this one is made of, each with metrics of its own.
    const PARTS: u32 = 1;
    /// Callbacks of which [`brief`](Filter::brief) is asked first.
    const BRIEF: Callbacks = Callbacks::NONE;
    /// What is remembered of one stream between callbacks.
    type Stream;

    /// Turns a configuration into a filter. What must not stand in a configuration, such as a secret, it takes from the VM's environment.
    ///
    /// # Errors
    /// The first thing wrong with the configuration, with the field's path.
    fn compile(config: &Field<'_, '_>, environment: &Environment<'_>) -> Result<Self, ConfigError>;

    /// The metrics that the filter was compiled with.
    fn metrics(&self) -> &Metrics;

    /// The metrics of a part, of [`PARTS`](Filter::PARTS); none of one that is left out.
    fn part(&self, part: u32) -> Option<&Metrics> {
        let _ = part;
        Some(self.metrics())
    }

    /// What a configuration that is taken has in it that its writer may not have meant, with the fields' paths. The host's log gets it, and `outrigger
    /// check` shows it. No value of the configuration is in it.
    fn warnings(&self) -> &[ConfigError] {
        &[]
    }

    /// The plugin had this filter in this VM until now: a push replaces it. What waits in it to be done comes here.
    fn inherit(&mut self, old: &Self) {
        let _ = old;
    }

    /// The configuration has been taken: once on the main thread, and then once on each worker. What is shared between VMs is made here, since it cannot be
    /// made by compare-and-swap. Only logs and metrics can be written.
    fn on_configured<'a>(&'a self, view: &'a View<'_>) -> Effects<'a> {
        let _ = view;
        Effects::default()
    }

    /// How often [`on_tick`](Filter::on_tick) is called, from 1 ms up; `None` is never. Read once, at configuration.
    fn tick_period(&self) -> Option<Duration> {
        None
    }

    /// Request headers to fetch one by one, at most [`SINGLE_LIMIT`](crate::SINGLE_LIMIT): for a filter that reads no others, of which a
    /// request has one or two. It is about cost alone, and a view answers the same whatever is named here: a host call for a header that is
    /// there costs three quarters of one for the whole map, and a tenth where it is not there.
    fn single_headers(&self) -> &[Box<str>] {
        &[]
    }

    /// Whether a callback of [`BRIEF`](Filter::BRIEF) is over with what this notes of it: the callback itself does not come then. It costs a tenth of
    /// one, for there is no view and there are no effects. `size` is the count of headers or the bytes of body at hand.
    fn brief(stream: &mut Self::Stream, phase: Phase, size: usize) -> bool {
        let _ = (stream, phase, size);
        false
    }

    /// The request's headers have arrived. [`Flow::Pause`](crate::Flow::Pause) holds the request until a callout resumes it.
    fn on_request_headers<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Self::Stream>,
    ) -> Effects<'a> {
        let _ = (view, stream);
        Effects::default()
    }

    /// A part of the request's body has arrived. [`Flow::Pause`](crate::Flow::Pause) buffers it until the next part.
    fn on_request_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Self::Stream>) -> Effects<'a> {
        let _ = (view, stream);
        Effects::default()
    }

    /// The request's trailers have arrived.
    fn on_request_trailers<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Self::Stream>,
    ) -> Effects<'a> {
        let _ = (view, stream);
        Effects::default()
    }

    /// The response's headers have arrived: from the upstream, or from a local reply.
    fn on_response_headers<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Self::Stream>,
    ) -> Effects<'a> {
        let _ = (view, stream);
        Effects::default()
    }

    /// A part of the response's body has arrived.
    fn on_response_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Self::Stream>) -> Effects<'a> {
        let _ = (view, stream);
        Effects::default()
    }

    /// The response's trailers have arrived.
    fn on_response_trailers<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Self::Stream>,
    ) -> Effects<'a> {
        let _ = (view, stream);
        Effects::default()
    }

    /// The exchange is over. Header maps are readable, and only logs, metrics and filter state can be written.
    fn on_log<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Self::Stream>) -> Effects<'a> {
        let _ = (view, stream);
        Effects::default()
    }

    /// A callout that this stream made has been answered, or has failed: [`View::callout_status`] says which. `tag` is the callout's own.
    fn on_callout<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Self::Stream>,
        tag: u32,
    ) -> Effects<'a> {
        let _ = (view, stream, tag);
        Effects::default()
    }

    /// The timer has run out: once on the main thread and once on each worker.
    fn on_tick<'a>(&'a self, view: &'a View<'_>) -> Effects<'a> {
        let _ = view;
        Effects::default()
    }
}
