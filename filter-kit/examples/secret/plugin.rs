//! Turns away who has no `x-user-id`, adds `x-arm` to other requests, and refuses bodies with the word `secret`: on the SDK alone, as most authors write a plugin.

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::{Action, ContextType},
};

struct Root<const WAITS: bool>;
struct Stream<const WAITS: bool>;

impl<const WAITS: bool> Context for Root<WAITS> {}

impl<const WAITS: bool> RootContext for Root<WAITS> {
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::<WAITS>))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl<const WAITS: bool> Context for Stream<WAITS> {}

impl<const WAITS: bool> HttpContext for Stream<WAITS> {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if self.get_http_request_header("x-user-id").is_none() {
            self.send_http_response(401, vec![], Some(b"who are you?"));
            return Action::Pause;
        }
        self.add_http_request_header("x-arm", "b");
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, is_last: bool) -> Action {
        // What has come so far is kept for the plugin that waits.
        if WAITS && !is_last {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        if body.windows(6).any(|part| part == b"secret") {
            self.send_http_response(403, vec![], None);
            return Action::Pause;
        }
        Action::Continue
    }
}

/// Is called once, when the module starts. With `WAITS` a body is looked at as a whole, otherwise each of its parts.
pub fn start<const WAITS: bool>() {
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::<WAITS>) });
}
