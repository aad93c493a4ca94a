//! What a condition is about, and the matcher that Istio makes of its values.

use super::{
    Bad, Side,
    matcher::{
        cidr, claim, exact, header, host, list_or_one, metadata, prefix, quote, regex, string, string_after,
        suffix,
    },
};
use serde_json::{Value, json};

/// The type of a template of a path.
pub const TEMPLATE: &str =
    "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";

/// What a condition is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `:authority`, port and all.
    Host,
    /// `:method`.
    Method,
    /// The path without its query.
    Path,
    /// The port that was connected to.
    Port,
    /// The address that was connected to.
    DestinationIp,
    /// The server's name in the TLS handshake.
    Sni,
    /// `experimental.envoy.filters.NAME[KEY]`: dynamic metadata, with the whole key.
    Filters(String),
    /// The address of the direct peer.
    SourceIp,
    /// The address of the client, perhaps by `x-forwarded-for`.
    RemoteIp,
    /// The namespace in the certificate.
    Namespace,
    /// The trust domain in the certificate.
    TrustDomain,
    /// The service account in the certificate.
    ServiceAccount,
    /// The certificate's name.
    Principal,
    /// Issuer and subject of the token.
    RequestPrincipal,
    /// The token's `aud`.
    Audiences,
    /// The token's `azp`.
    Presenter,
    /// `request.headers[NAME]`, without `request.headers`.
    Header(String),
    /// `request.auth.claims[NAME]..`, without `request.auth.claims`.
    Claims(String),
}

/// A field, its not-twin and what they are about.
type Fields<const N: usize> = [(&'static str, &'static str, Attribute); N];

impl Attribute {
    /// The fields of `operation`, in Istio's order.
    pub const OF_OPERATION: Fields<4> = [
        ("hosts", "notHosts", Self::Host),
        ("methods", "notMethods", Self::Method),
        ("paths", "notPaths", Self::Path),
        ("ports", "notPorts", Self::Port),
    ];
    /// The fields of `source`, in Istio's order.
    pub const OF_SOURCE: Fields<7> = [
        ("principals", "notPrincipals", Self::Principal),
        ("requestPrincipals", "notRequestPrincipals", Self::RequestPrincipal),
        ("serviceAccounts", "notServiceAccounts", Self::ServiceAccount),
        ("trustDomains", "notTrustDomains", Self::TrustDomain),
        ("namespaces", "notNamespaces", Self::Namespace),
        ("remoteIpBlocks", "notRemoteIpBlocks", Self::RemoteIp),
        ("ipBlocks", "notIpBlocks", Self::SourceIp),
    ];

    /// Reads a key of `when`.
    pub fn of_key(key: &str) -> Result<Self, Bad> {
        Ok(match key {
            "destination.ip" => Self::DestinationIp,
            "destination.port" => Self::Port,
            "connection.sni" => Self::Sni,
            "source.ip" => Self::SourceIp,
            "remote.ip" => Self::RemoteIp,
            "source.namespace" => Self::Namespace,
            "source.trustDomain" => Self::TrustDomain,
            "source.serviceAccount" => Self::ServiceAccount,
            "source.principal" => Self::Principal,
            "request.auth.principal" => Self::RequestPrincipal,
            "request.auth.audiences" => Self::Audiences,
            "request.auth.presenter" => Self::Presenter,
            _ if key.starts_with("experimental.envoy.filters.") => Self::Filters(key.to_owned()),
            _ => {
                if let Some(name) = key.strip_prefix("request.headers") {
                    Self::Header(name.to_owned())
                } else if let Some(name) = key.strip_prefix("request.auth.claims") {
                    Self::Claims(name.to_owned())
                } else {
                    return Err(format!("unknown attribute {key}"));
                }
            }
        })
    }

    /// The half of a rule that it belongs to.
    pub fn side(&self) -> Side {
        match self {
            Self::Host
            | Self::Method
            | Self::Path
            | Self::Port
            | Self::DestinationIp
            | Self::Sni
            | Self::Filters(_) => Side::Permission,
            _ => Side::Principal,
        }
    }

    /// The matcher of one value, of an attribute whose values are matched one by one.
    pub fn of_one(&self, value: &str, namespace: &str) -> Result<Value, Bad> {
        Ok(match self {
            Self::Host => json!({"header": host(value)}),
            Self::Method => json!({"header": header(":method", value)}),
            Self::Path if value.contains("{*}") || value.contains("{**}") => {
                // Go's replacer takes the first of its words that fits, so `{**}` is not cut in two.
                let path = value.replace("{**}", "**").replace("{*}", "*");
                let config = json!({"@type": TEMPLATE, "path_template": path});
                json!({"uri_template": {"name": "uri-template", "typed_config": config}})
            }
            Self::Path => json!({"url_path": {"path": string(value)}}),
            Self::Port => match value.parse::<u16>() {
                Ok(port) if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                    json!({"destination_port": port})
                }
                _ => return Err(format!("invalid port {value}")),
            },
            Self::DestinationIp => json!({"destination_ip": cidr(value)?}),
            Self::Sni => json!({"requested_server_name": string(value)}),
            Self::SourceIp => json!({"direct_remote_ip": cidr(value)?}),
            Self::RemoteIp => json!({"remote_ip": cidr(value)?}),
            Self::Namespace => {
                let parts: Vec<String> = value.split('*').map(quote).collect();
                authenticated(&regex(&format!(".*/ns/{}/.*", parts.join(".*"))))
            }
            Self::TrustDomain => authenticated(&match value.split_once('*') {
                _ if value == "*" => prefix("spiffe://", false),
                None => prefix(&format!("spiffe://{value}/"), false),
                Some((before, after)) => {
                    regex(&format!("spiffe://{}[^/]*{}/.*", quote(before), quote(after)))
                }
            }),
            Self::ServiceAccount => {
                let (namespace, account) = value.split_once('/').unwrap_or((namespace, value));
                let (namespace, account) = (quote(namespace), quote(account));
                authenticated(&regex(&format!("spiffe://.+/ns/{namespace}/(.+/|)sa/{account}(/.+)?")))
            }
            Self::Principal => authenticated(&string_after("spiffe://", value)),
            Self::Header(name) => json!({"header": header(in_brackets(name)?, value)}),
            Self::Filters(_)
            | Self::RequestPrincipal
            | Self::Audiences
            | Self::Presenter
            | Self::Claims(_) => return Err("its values are matched together".to_owned()),
        })
    }

    /// The matcher of all values, of an attribute whose values are matched together; nothing for the others.
    pub fn of_all(&self, values: &[String]) -> Option<Result<Value, Bad>> {
        Some(match self {
            Self::RequestPrincipal => {
                let mut any: Vec<Value> = values.iter().map(|value| request_principal(value)).collect();
                Ok(if any.len() == 1 { any.remove(0) } else { Side::Principal.any(&any) })
            }
            Self::Audiences => Ok(claims(&["aud"], values)),
            Self::Presenter => Ok(claims(&["azp"], values)),
            Self::Claims(names) => nested(names).map(|names| claims(&names, values)),
            Self::Filters(key) => filters(key, values),
            _ => return None,
        })
    }
}

fn authenticated(name: &Value) -> Value {
    json!({"authenticated": {"principal_name": name}})
}

/// Values of a claim, which may be a string or a list that holds one.
fn claims(names: &[&str], values: &[String]) -> Value {
    let any: Vec<Value> = values.iter().map(|value| json!({"string_match": string(value)})).collect();
    let mut path = vec!["payload"];
    path.extend(names);
    json!({"metadata": metadata("envoy.filters.http.jwt_authn", &path, &list_or_one(&or(any)))})
}

fn or(mut any: Vec<Value>) -> Value {
    if any.len() == 1 { any.remove(0) } else { json!({"or_match": {"value_matchers": any}}) }
}

/// Issuer and subject, which are parted by the last `/`.
fn request_principal(value: &str) -> Value {
    let parted = value.rsplit_once('/');
    let something = || regex(".+");
    let (issuer, subject) = match parted {
        _ if value == "*" => (something(), something()),
        Some((issuer, subject)) if value.starts_with('*') => {
            let issuer = if issuer == "*" { something() } else { suffix(without_first_star(issuer), false) };
            (issuer, exact(subject, false))
        }
        None if value.starts_with('*') => (something(), suffix(without_first_star(value), false)),
        Some((issuer, subject)) if value.ends_with('*') => {
            let subject = if subject == "*" {
                something()
            } else {
                prefix(subject.strip_suffix('*').unwrap_or(subject), false)
            };
            (exact(issuer, false), subject)
        }
        None if value.ends_with('*') => {
            (prefix(value.strip_suffix('*').unwrap_or(value), false), something())
        }
        Some((issuer, subject)) => (exact(issuer, false), exact(subject, false)),
        None => (exact(value, false), exact("", false)),
    };
    Side::Principal.all(&[claim("iss", &issuer), claim("sub", &subject)])
}

fn without_first_star(text: &str) -> &str {
    text.strip_prefix('*').unwrap_or(text)
}

/// `experimental.envoy.filters.a.b[c]` is the key `c` of what the filter `envoy.filters.a.b` has said.
fn filters(key: &str, values: &[String]) -> Result<Value, Bad> {
    let key = key.strip_prefix("experimental.").unwrap_or(key);
    let key = key.strip_suffix(']').unwrap_or(key);
    let Some((filter, key)) = key.split_once('[') else { return Err(format!("invalid key: {key}")) };
    let one = |value: &String| {
        if value.starts_with('[') && value.ends_with(']') {
            let inner = value.trim_matches(['[', ']']);
            json!({"list_match": {"one_of": {"string_match": string(inner)}}})
        } else {
            json!({"string_match": string(value)})
        }
    };
    Ok(json!({"metadata": metadata(filter, &[key], &or(values.iter().map(one).collect()))}))
}

fn in_brackets(text: &str) -> Result<&str, Bad> {
    let inner = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    inner.ok_or_else(|| format!("expecting format [<NAME>], but found {text}"))
}

/// `[a][b]` is two names; what is not made of brackets alone is one, if it stands in brackets as a whole.
fn nested(text: &str) -> Result<Vec<&str>, Bad> {
    let mut names = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
        match inner.filter(|(name, _)| !name.contains('[')) {
            Some((name, after)) => {
                names.push(name);
                rest = after;
            }
            None => return Ok(vec![in_brackets(text)?]),
        }
    }
    Ok(names)
}
