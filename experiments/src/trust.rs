//! Clients that may ask for an arm without a signature.

use filter_kit::{View, settings::Field};

/// Clients by their certificate. Not by their address: what Envoy tells of it is what a client wrote into `x-forwarded-for`, wherever Envoy takes
/// it from there, and no attribute has the direct peer.
#[derive(Debug, Default)]
pub struct Trust(Vec<Box<str>>);

impl Trust {
    /// Reads a list of principals, each exact or a beginning with `*` behind it.
    pub fn read(field: &Field<'_, '_>) -> Self {
        let mut principals: Vec<Box<str>> = Vec::new();
        for item in field.items() {
            let principal = item.text().unwrap_or_default();
            let begin = principal.strip_suffix('*').unwrap_or(principal);
            // `*` alone would be everybody with a certificate.
            if begin.is_empty() || begin.contains('*') {
                item.refuse_text("must be a principal, or a beginning with `*` behind it", principal);
            }
            principals.push(principal.into());
        }
        Self(principals)
    }

    /// Whether there is nobody to trust.
    pub fn is_nobody(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the request's client is trusted: at most one host call.
    pub fn has(&self, view: &View<'_>) -> bool {
        let is_principal = |other: &[u8]| {
            self.0.iter().any(|principal| match principal.strip_suffix('*') {
                Some(begin) => other.starts_with(begin.as_bytes()),
                None => principal.as_bytes() == other,
            })
        };
        !self.0.is_empty() && view.principal().is_some_and(is_principal)
    }
}

#[cfg(test)]
mod tests {
    use super::Trust;
    use filter_kit::{
        Phase, View,
        fake::Stream,
        settings::{Field, Node},
    };
    use std::cell::RefCell;

    fn trust(principals: &str) -> Result<Trust, String> {
        let node = Node::parse(principals.as_bytes()).unwrap();
        let refused = RefCell::default();
        let field = Field::root(&node, &refused);
        field.finish(Trust::read(&field)).map_err(|error| error.to_string())
    }

    #[test]
    fn principals_are_exact_or_begin_so() {
        let trust = trust(r#"["spiffe://c/ns/qa/*", "spiffe://c/ns/a/sa/b"]"#).unwrap();
        for (value, expected) in [
            ("spiffe://c/ns/qa/sa/x", true),
            ("spiffe://c/ns/a/sa/b", true),
            ("spiffe://c/ns/a/sa/bc", false),
            ("", false),
        ] {
            let request = Stream::get("/").property("connection.uri_san_peer_certificate", value);
            let view = View::new(&request, Phase::RequestHeaders, 0, true);
            assert_eq!(trust.has(&view), expected, "{value}");
        }
        let request = Stream::get("/");
        assert!(!trust.has(&View::new(&request, Phase::RequestHeaders, 0, true)));
    }

    #[test]
    fn everybody_is_refused() {
        assert!(trust(r#"["*"]"#).unwrap_err().starts_with("[0]: must be a principal"));
        assert!(trust(r#"["a", "a*b"]"#).unwrap_err().starts_with("[1]: must be a principal"));
    }
}
