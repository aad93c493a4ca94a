//! A value of a rule, as a pattern (istio `pilot/pkg/security/authz/model/generator.go`).

use crate::{
    pattern::{self, Form, Part, Pattern, wildcard},
    program::Builder,
    rules::{Bad, CLAIMS, Key, Reader},
    template,
};
use filter_kit::settings::Field;

impl Reader<'_, '_, '_> {
    /// Adds what a value of a list says to the patterns of its test.
    pub fn value(
        &self,
        field: &Field<'_, '_>,
        key: Key,
        value: &str,
        builder: &mut Builder,
        patterns: &mut Vec<Pattern>,
    ) -> Result<(), Bad> {
        let texts = &mut builder.program.texts;
        let mut push = |form, part, text: &[u8]| {
            patterns.push(Pattern { form, part, text: texts.intern(text) });
        };
        match key {
            Key::Header(_) | Key::Method => {
                let (form, text) = wildcard(value, Form::Present);
                push(form, Part::Value, text.as_bytes());
            }
            Key::Host => {
                let (form, text) = wildcard(value, Form::Present);
                push(form, Part::Value, text.to_ascii_lowercase().as_bytes());
            }
            Key::Path if template::is_template(value) => {
                if let Err(rule) = template::check(value) {
                    field.refuse_text(rule, value);
                }
                push(Form::Template, Part::Value, value.as_bytes());
                if self.is_strict() {
                    builder.program.note_read(value);
                }
            }
            Key::Path => {
                if self.is_strict() && value.contains(['{', '}']) {
                    field.refuse_text("must have braces in `{*}` and `{**}` alone", value);
                }
                let (form, text) = wildcard(value, Form::Any);
                push(form, Part::Value, text.as_bytes());
                if self.is_strict() {
                    builder.program.note_read(text);
                }
            }
            Key::Sni => {
                let (form, text) = wildcard(value, Form::Any);
                push(form, Part::Value, text.as_bytes());
            }
            Key::Claim(_) => {
                let (form, text) = wildcard(value, Form::Any);
                push(form, Part::Both, text.as_bytes());
            }
            Key::Metadata(_) => {
                let is_list = value.starts_with('[') && value.ends_with(']');
                let (part, value) = if is_list {
                    (Part::Element, value.trim_matches(['[', ']']))
                } else {
                    (Part::Value, value)
                };
                let (form, text) = wildcard(value, Form::Any);
                push(form, part, text.as_bytes());
            }
            Key::Port => {
                let port = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse::<u16>().ok());
                let Some(port) = port.flatten() else { return Err("must be a port") };
                push(Form::Port, Part::Value, &port.to_be_bytes());
            }
            Key::Ip(_) => {
                let Some(block) = pattern::block(value) else { return Err("must be an address or a block") };
                push(Form::Block, Part::Value, &block);
            }
            Key::Principal | Key::Namespace | Key::ServiceAccount | Key::TrustDomain => {
                self.peer(field, key, value, &mut push);
            }
            Key::RequestPrincipal => {
                for claim in ["iss", "sub"] {
                    texts.intern([CLAIMS, claim].join("\0").as_bytes());
                }
                let mut push = |form, part, text: &[u8]| {
                    patterns.push(Pattern { form, part, text: texts.intern(text) });
                };
                for (form, text) in request_principal(value) {
                    push(form, Part::Value, text.as_bytes());
                }
            }
            Key::Bad => return Err("must be of a key with a name in brackets"),
        }
        Ok(())
    }

    fn peer(&self, field: &Field<'_, '_>, key: Key, value: &str, push: &mut dyn FnMut(Form, Part, &[u8])) {
        match key {
            Key::Principal => {
                for principal in self.policies.trust_domains.principals(value) {
                    let (form, text) = wildcard(&principal, Form::Any);
                    match form {
                        Form::Any => push(form, Part::Value, b""),
                        Form::Suffix => push(Form::SpiffeSuffix, Part::Value, text.as_bytes()),
                        _ => push(form, Part::Value, &[pattern::SPIFFE, text.as_bytes()].concat()),
                    }
                }
            }
            Key::Namespace => push(Form::Namespace, Part::Value, value.as_bytes()),
            Key::ServiceAccount => {
                let both = if value.contains('/') {
                    value.to_owned()
                } else {
                    [self.namespace, "/", value].concat()
                };
                let is_whole = both.split('/').count() == 2 && both.split('/').all(|part| !part.is_empty());
                if !is_whole || value.contains('*') || value.len() > 320 {
                    field.refuse_text(
                        "must be a service account, or a namespace, `/` and a service account",
                        value,
                    );
                }
                push(Form::ServiceAccount, Part::Value, both.as_bytes());
            }
            Key::TrustDomain => {
                if value.contains('/') {
                    field.refuse_text("must be a trust domain", value);
                }
                for domain in self.policies.trust_domains.domains(value) {
                    if domain == "*" {
                        push(Form::Prefix, Part::Value, pattern::SPIFFE);
                    } else if domain.contains('*') {
                        push(Form::TrustDomain, Part::Value, domain.as_bytes());
                    } else {
                        push(Form::Prefix, Part::Value, &[pattern::SPIFFE, domain.as_bytes(), b"/"].concat());
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whatever it is, but not empty.
const ANY: (Form, &str) = (Form::Any, "");

/// What issuer and subject must be (`requestPrincipalGenerator`): the value is split at its last slash, for an issuer may be a URL.
fn request_principal(value: &str) -> [(Form, &str); 2] {
    let (issuer, subject, is_split) = match value.rsplit_once('/') {
        Some((issuer, subject)) => (issuer, subject, true),
        None => (value, "", false),
    };
    if value == "*" {
        return [ANY, ANY];
    }
    if let Some(rest) = value.strip_prefix('*') {
        if !is_split {
            return [ANY, (Form::Suffix, rest)];
        }
        let issuer = match issuer.strip_prefix('*') {
            Some("") | None => ANY,
            Some(suffix) => (Form::Suffix, suffix),
        };
        return [issuer, (Form::Exact, subject)];
    }
    if let Some(rest) = value.strip_suffix('*') {
        if !is_split {
            return [(Form::Prefix, rest), ANY];
        }
        let subject = match subject.strip_suffix('*') {
            Some("") | None => ANY,
            Some(prefix) => (Form::Prefix, prefix),
        };
        return [(Form::Exact, issuer), subject];
    }
    [(Form::Exact, issuer), (Form::Exact, subject)]
}

#[cfg(test)]
mod tests {
    use super::{Form, request_principal};

    #[test]
    fn a_request_principal_is_split_at_its_last_slash() {
        for (value, issuer, subject) in [
            ("*", (Form::Any, ""), (Form::Any, "")),
            ("https://i.example/sub", (Form::Exact, "https://i.example"), (Form::Exact, "sub")),
            ("i/*", (Form::Exact, "i"), (Form::Any, "")),
            ("i/s*", (Form::Exact, "i"), (Form::Prefix, "s")),
            ("*/s", (Form::Any, ""), (Form::Exact, "s")),
            ("*.example/s", (Form::Suffix, ".example"), (Form::Exact, "s")),
            ("*s", (Form::Any, ""), (Form::Suffix, "s")),
            ("i*", (Form::Prefix, "i"), (Form::Any, "")),
            ("i", (Form::Exact, "i"), (Form::Exact, "")),
            ("*/*", (Form::Any, ""), (Form::Exact, "*")),
        ] {
            assert_eq!(request_principal(value), [issuer, subject], "{value}");
        }
    }
}
