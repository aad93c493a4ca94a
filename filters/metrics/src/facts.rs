//! What is known of an exchange in a callback, each fact read when it is first wanted.

use crate::names;
use filter_kit::{
    HostBytes, View,
    json_body::BodyReader,
    routes::{RouteId, RouteLabel, Routes},
};
use std::cell::OnceCell;

/// What a label or a value may be read from.
pub struct Facts<'v> {
    /// The view of the callback.
    pub view: &'v View<'v>,
    /// Where the label of the route comes from.
    pub routes: RouteSource<'v>,
    /// The route that was found before.
    pub route: Option<RouteId>,
    /// The header with the arm, where it is known by now.
    pub arm: Option<&'v str>,
    /// Whether the arm is chosen behind this filter.
    pub is_arm_late: bool,
    /// The header with the policy's verdict.
    pub verdict: Option<&'v str>,
    /// The status, where there is one.
    pub status: Option<u16>,
    /// The time from the request's headers, in the configuration's unit.
    pub duration: Option<u64>,
    /// The bytes of the request's body.
    pub request_size: u64,
    /// The bytes of the response's body.
    pub response_size: u64,
    /// The body that was read.
    pub body: Option<&'v BodyReader>,
    /// Texts that labels borrow.
    pub texts: Texts,
}

/// Texts that labels borrow.
#[derive(Debug, Default)]
pub struct Texts {
    route: OnceCell<RouteLabel>,
    route_name: OnceCell<HostBytes>,
    status: OnceCell<String>,
}

/// Where the label of a route comes from.
#[derive(Debug, Clone, Copy)]
pub enum RouteSource<'v> {
    /// The path, by templates that are given or learned.
    Path(&'v Routes),
    /// The name of the route in Envoy's configuration.
    Name,
}

impl Facts<'_> {
    /// The arm; none before it is chosen.
    pub fn arm(&self) -> Option<&[u8]> {
        self.view.request_header(self.arm?)
    }

    /// The route's label.
    pub fn route(&self) -> &[u8] {
        match self.routes {
            RouteSource::Path(routes) => {
                let label =
                    || routes.label(self.route.unwrap_or_else(|| route_of(routes, self.view, self.status)));
                self.texts.route.get_or_init(label).as_bytes()
            }
            RouteSource::Name => {
                let name = || self.view.property(&["xds", "route_name"]).unwrap_or_default();
                self.texts.route_name.get_or_init(name)
            }
        }
    }

    /// The status in digits, or `none`.
    pub fn status_text(&self) -> &str {
        let text = || self.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.texts.status.get_or_init(text)
    }

    /// The status' class.
    pub fn class(&self) -> &'static str {
        names::class_text(names::class(self.status))
    }
}

/// The route of a request that is over. A path that does not exist teaches none: whoever looks for holes asks for many.
pub fn route_of(routes: &Routes, view: &View<'_>, status: Option<u16>) -> RouteId {
    let target = view.request_header("x-envoy-original-path");
    let path = target.map_or_else(|| view.path(), path_of);
    if status == Some(404) { routes.known(path) } else { routes.of(path) }
}

fn path_of(target: &[u8]) -> &[u8] {
    target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default()
}
