//! Generated policies and requests as the tool reads them: two sets, and requests that are made to meet their rules.

use super::{
    generate::{self, Configuration},
    identity::IDENTITIES,
    random::Random,
    request::{self, Caller, Request},
};
use serde_json::{Value, json};

/// Two sets of policies for the filter, and requests for `outrigger replay`.
pub struct Recorded {
    /// What there is, and what would be: some policies less, and others more.
    pub sets: [Value; 2],
    /// One request a line.
    pub requests: Vec<Value>,
}

/// As many requests as asked for, that meet rules of either set.
pub fn recorded(seed: u64, count: usize) -> Recorded {
    let mut random = Random::new(seed);
    let configurations =
        [generate::configuration(&mut random, &[]), generate::configuration(&mut random, &[])];
    let [first, second] = &configurations;
    let config = |policies: &[Value]| json!({"policies": policies, "trust_domains": first.trust_domains});
    let mut candidate: Vec<Value> = first.policies.iter().filter(|_| random.percent(75)).cloned().collect();
    for (number, policy) in second.policies.iter().enumerate().filter(|_| random.percent(60)) {
        let mut policy = policy.clone();
        policy["metadata"]["name"] = json!(format!("more{number}"));
        candidate.push(policy);
    }
    let sets = [config(&first.policies), config(&candidate)];
    let mut requests = Vec::with_capacity(count);
    while requests.len() < count {
        let configuration: &Configuration = if random.percent(50) { first } else { second };
        let visit = request::visit(&mut random, configuration);
        for request in &visit.requests {
            let id = requests.len();
            requests.extend(line(id, &visit.caller, request).filter(|_| id < count));
        }
    }
    Recorded { sets, requests }
}

/// A request as it is recorded; `None` of one that Envoy refuses, or that is no text.
fn line(id: usize, caller: &Caller, request: &Request) -> Option<Value> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let path = text(&request.target).filter(|path| path.starts_with('/'))?;
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| Some((text(&name.0)?.to_ascii_lowercase(), text(&value.0)?.trim().to_owned())))
        .collect::<Option<_>>()?;
    let authority = headers.iter().find(|(name, _)| name == "host").map(|(_, value)| value.clone())?;
    let headers: Vec<_> = headers.into_iter().filter(|(name, _)| name != "host").collect();
    let mut line = json!({
        "id": id, "method": request.method, "path": path, "authority": authority, "headers": headers,
        "source": {"ip": caller.peer.to_string()}, "remote_ip": caller.source.to_string(),
        "destination": {"ip": caller.destination.ip().to_string(), "port": caller.destination.port()},
        "sni": caller.sni.clone().unwrap_or_default(),
    });
    if let Some(uri) = caller.identity.and_then(|place| IDENTITIES.get(place)?.uri) {
        line["source"]["principal"] = json!(uri);
    }
    if let Some(claims) = request.claims.clone().filter(|_| !request.is_forged) {
        line["claims"] = claims;
    }
    Some(line)
}
