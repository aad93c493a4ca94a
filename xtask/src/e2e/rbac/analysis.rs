//! Whether what `outrigger check` says of policies is so: each "never matches", "shadowed" and "denied" of generated policies is attacked by requests that
//! are made of the rule's own values, and must stand. That wrong claims fall is shown first.

mod seen;

use super::{
    generate::{self, Configuration},
    random::Random,
    request,
};
use crate::parallel;
use filter_kit::{Environment, load};
use policy::{Caveat, Finding, Kind, Place, Policy};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How many sets of policies are generated.
const SETS: usize = 200;
/// How many requests attack a claim: `OUTRIGGER_ATTACKS`, as many as the issue asks for by hand (10,000), fewer in every run of the tests.
fn attacks() -> usize {
    std::env::var("OUTRIGGER_ATTACKS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

fn compiled(config: &Value) -> Option<Policy> {
    load(config.to_string().as_bytes(), &Environment::EMPTY).ok()
}

fn config(configuration: &Configuration, mode: &str) -> Value {
    json!({"mode": mode, "trust_domains": configuration.trust_domains, "policies": configuration.policies})
}

/// A claim about a rule.
struct Claim {
    kind: Kind,
    place: Place,
    other: Option<Place>,
    caveat: Caveat,
}

impl Claim {
    fn of(finding: &Finding) -> Option<Self> {
        let is_claim = matches!(finding.kind, Kind::NeverMatches | Kind::Shadowed | Kind::AllowDenied);
        is_claim.then(|| Self {
            kind: finding.kind,
            place: finding.place,
            other: finding.others.first().copied(),
            caveat: finding.caveat,
        })
    }

    /// Attacks it; the request that refutes it, if one does, and how many requests the rule matched or could not say.
    fn attack(
        &self,
        random: &mut Random,
        policies: &Value,
        policy: &Policy,
        attacks: usize,
    ) -> (Option<String>, usize) {
        let list = &policies[self.place.policy];
        let rule = &list["spec"]["rules"][self.place.rule.unwrap()];
        let namespace = list["metadata"]["namespace"].as_str().unwrap_or_default();
        let number = number_of(policy, self.place);
        let other = self.other.map(|other| number_of(policy, other));
        let (mut sent, mut met) = (0, 0);
        while sent < attacks {
            let (caller, request) = request::aimed(random, rule, namespace);
            let Some(seen) = seen::seen(random, rule, &caller, &request) else { continue };
            if self.caveat.several_names && !seen.has_one_name {
                continue;
            }
            sent += 1;
            let view = seen.stream.request_view(true);
            let response = seen.stream.response_view();
            let exchange = policy::Seen { request: &view, body: b"", response: &response };
            let said = policy.says(number, exchange);
            met += usize::from(said != Some(false));
            let is_refuted = match self.kind {
                Kind::NeverMatches if self.caveat.unknown => said == Some(true),
                Kind::NeverMatches => said != Some(false),
                Kind::AllowDenied => said != Some(false) && seen.stream.drive(policy).reply.is_none(),
                _ => degree(said) > degree(policy.says(other.unwrap(), exchange)),
            };
            if is_refuted {
                return (Some(format!("{caller}\n  {request}\n  {:?}", seen.stream)), met);
            }
        }
        (None, met)
    }
}

/// False before neither before true.
fn degree(said: Option<bool>) -> u8 {
    match said {
        Some(false) => 0,
        None => 1,
        Some(true) => 2,
    }
}

fn number_of(policy: &Policy, place: Place) -> u32 {
    (0..).take(policy.rules().count()).find(|number| policy.place_of(*number) == Some(place)).unwrap()
}

/// A set in which rules stand near each other: some are copies of others, narrowed, turned against themselves or with another value.
fn set(random: &mut Random) -> Configuration {
    let mut configuration = generate::configuration(random, &[]);
    let rules: Vec<(Value, Value)> = configuration
        .policies
        .iter()
        .flat_map(|policy| {
            let rules = policy["spec"]["rules"].as_array().cloned().unwrap_or_default();
            rules.into_iter().take(6).map(|rule| (policy.clone(), rule))
        })
        .collect();
    let more = generate::configuration(random, &[]);
    for (place, (policy, rule)) in rules.iter().enumerate().filter(|_| random.percent(70)).collect::<Vec<_>>()
    {
        let mut copy = policy.clone();
        copy["metadata"]["name"] = json!(format!("copy{place}"));
        copy["spec"]["rules"] = json!([near(random, rule, &more)]);
        if random.percent(30) {
            copy["spec"]["action"] = json!(random.text(&["ALLOW", "DENY"]));
        }
        configuration.policies.push(copy);
    }
    configuration
}

/// A rule that is near another one.
fn near(random: &mut Random, rule: &Value, more: &Configuration) -> Value {
    let mut near = rule.clone();
    let conditions: Vec<Value> = more
        .policies
        .iter()
        .flat_map(|policy| policy["spec"]["rules"].as_array().cloned().unwrap_or_default())
        .flat_map(|rule| rule["when"].as_array().cloned().unwrap_or_default())
        .collect();
    let (list, inner) = if random.percent(50) { ("from", "source") } else { ("to", "operation") };
    match random.below(6) {
        0 | 1 => {
            // Narrower by a condition.
            if let Some(condition) = random.pick(&conditions).cloned() {
                let mut when = near["when"].as_array().cloned().unwrap_or_default();
                when.push(condition);
                near["when"] = json!(when);
            }
        }
        2 | 3 => {
            // What is asked for is excluded, all of it or but for what another value leaves.
            for item in near[list].as_array_mut().into_iter().flatten() {
                let fields = item[inner].as_object().cloned().unwrap_or_default();
                let fields: Vec<_> = fields.iter().filter(|(name, _)| !name.starts_with("not")).collect();
                if let Some((name, values)) = random.pick(&fields) {
                    let (first, rest) = name.split_at(1);
                    let mut values = values.as_array().cloned().unwrap_or_default();
                    if random.percent(40) {
                        values.truncate(1);
                    }
                    item[inner][format!("not{}{rest}", first.to_uppercase())] = json!(values);
                }
            }
            for condition in near["when"].as_array_mut().into_iter().flatten().filter(|_| random.percent(50))
            {
                if !condition["values"].is_null() {
                    condition["notValues"] = condition["values"].clone();
                }
            }
        }
        4 => {
            // One value less of each list.
            for item in near[list].as_array_mut().into_iter().flatten() {
                for (_, values) in item[inner].as_object_mut().into_iter().flatten() {
                    if let Some(values) = values.as_array_mut().filter(|values| values.len() > 1) {
                        values.pop();
                    }
                }
            }
        }
        _ => {}
    }
    near
}

/// What came of all claims of a kind.
#[derive(Debug, Default)]
struct Count {
    claims: usize,
    met: usize,
    refuted: Vec<String>,
}

#[test]
fn what_is_said_of_policies_is_so() {
    let attacks = attacks();
    let seeds: Vec<u64> = (0..SETS as u64).collect();
    let found = parallel::map(&seeds, 2, |seed| {
        let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9) + 13);
        loop {
            let configuration = set(&mut random);
            let mode = if seed % 3 == 2 { "strict" } else { "istio" };
            let config = config(&configuration, mode);
            let Some(policy) = compiled(&config) else { continue };
            let claims: Vec<Claim> = policy.analyse().findings.iter().filter_map(Claim::of).collect();
            let mut counts: BTreeMap<String, Count> = BTreeMap::new();
            for claim in claims {
                let (refuted, met) = claim.attack(&mut random, &config["policies"], &policy, attacks);
                let count = counts.entry(format!("{:?}", claim.kind)).or_default();
                count.claims += 1;
                count.met += met;
                count.refuted.extend(refuted.map(|request| {
                    format!(
                        "{:?} {:?} {:?} {mode}\n{request}\n{}",
                        claim.kind,
                        claim.place,
                        claim.other,
                        configuration.text()
                    )
                }));
            }
            return (mode, policy.rules().count(), counts);
        }
    });
    let mut all: BTreeMap<String, Count> = BTreeMap::new();
    let rules: usize = found.iter().map(|(_, rules, _)| rules).sum();
    let strict = found.iter().filter(|(mode, ..)| *mode == "strict").count();
    for (_, _, counts) in found {
        for (kind, count) in counts {
            let sum = all.entry(kind).or_default();
            sum.claims += count.claims;
            sum.met += count.met;
            sum.refuted.extend(count.refuted);
        }
    }
    println!("{SETS} sets ({strict} strict) of {rules} rules, {attacks} requests against each claim");
    for (kind, count) in &all {
        println!(
            "{kind}: {} claims, {} refuted; {} requests met the rule",
            count.claims,
            count.refuted.len(),
            count.met
        );
    }
    for refuted in all.values().flat_map(|count| &count.refuted).take(3) {
        println!("REFUTED {refuted}");
    }
    assert!(all.values().all(|count| count.refuted.is_empty()));
    for kind in ["NeverMatches", "Shadowed", "AllowDenied"] {
        assert!(all.get(kind).is_some_and(|count| count.claims >= 20), "too few claims: {kind}");
    }
    // What is aimed at a rule that can match meets it.
    assert!(all["Shadowed"].met > all["Shadowed"].claims * attacks / 10, "{all:?}");
}

/// Each value of which it is said that no request has it, in a rule of its own.
#[test]
fn no_request_has_what_is_said_to_be_no_requests() {
    let mut values = BTreeSet::new();
    for seed in 0..SETS as u64 {
        let mut random = Random::new(seed + 900);
        let Some(policy) = compiled(&config(&set(&mut random), "istio")) else { continue };
        for finding in policy.analyse().findings.iter().filter(|finding| finding.kind == Kind::ValueNever) {
            // "`VALUE` in FIELD never matches: ..."
            let named = finding.message.trim_start_matches('`').split_once("` in ");
            // The values of headers are not told.
            let Some((value, rest)) = named else { continue };
            let field = rest.split(' ').next().unwrap().to_lowercase().replace("not", "");
            if ["paths", "methods", "hosts"].contains(&&*field) {
                values.insert((field, value.to_owned()));
            }
        }
    }
    let mut random = Random::new(17);
    for (field, value) in &values {
        let rule = json!({"to": [{"operation": {field: [value]}}]});
        let config = json!({"policies": [{"metadata": {"name": "a"}, "spec": {"rules": [rule]}}]});
        let policy = compiled(&config).unwrap();
        let claims: Vec<Claim> = policy.analyse().findings.iter().filter_map(Claim::of).collect();
        assert_eq!(claims.len(), 1, "{field} {value}");
        let (refuted, _) = claims[0].attack(&mut random, &config["policies"], &policy, attacks());
        assert!(refuted.is_none(), "{field} {value}: {refuted:?}");
    }
    println!("{} values that no request has: {values:?}", values.len());
    assert!(values.len() >= 4, "{values:?}");
}

#[test]
fn a_wrong_claim_is_refuted() {
    let no = Caveat { unknown: false, several_names: false };
    // Rules of which nothing is said: that they never match, or that the next one of their action says all of them, is wrong, or cannot be shown to be wrong.
    let (mut never, mut never_refuted, mut within, mut within_refuted) = (0, 0, 0, 0);
    for seed in 0..60 {
        let mut random = Random::new(seed + 5000);
        let configuration = set(&mut random);
        let config = config(&configuration, "istio");
        let Some(policy) = compiled(&config) else { continue };
        let findings = policy.analyse().findings;
        let places: Vec<(Place, &str)> = policy
            .rules()
            .zip(0..)
            .filter_map(|((_, action, _), number)| Some((policy.place_of(number)?, action)))
            .filter(|(place, _)| {
                !findings.iter().any(|finding| finding.place == *place && Claim::of(finding).is_some())
            })
            .collect();
        for pair in places.windows(2).take(4) {
            let [(place, action), (other, other_action)] = [pair[0], pair[1]];
            let claim = Claim { kind: Kind::NeverMatches, place, other: None, caveat: no };
            never += 1;
            never_refuted +=
                usize::from(claim.attack(&mut random, &config["policies"], &policy, 2000).0.is_some());
            if action == other_action {
                let claim = Claim { kind: Kind::Shadowed, place, other: Some(other), caveat: no };
                within += 1;
                within_refuted +=
                    usize::from(claim.attack(&mut random, &config["policies"], &policy, 2000).0.is_some());
            }
        }
    }
    println!(
        "wrong claims: {never_refuted} of {never} never, {within_refuted} of {within} shadowed are refuted"
    );
    assert!(never > 50 && never_refuted * 10 >= never * 7, "{never_refuted} of {never}");
    assert!(within > 20 && within_refuted * 10 >= within * 7, "{within_refuted} of {within}");
}

/// Rules that look like contradictions and are none: each is met by a request.
#[test]
fn what_nearly_never_matches_is_refuted() {
    let to = |operation: Value| json!({"to": [{"operation": operation}]});
    let from = |source: Value| json!({"from": [{"source": source}]});
    for rule in [
        to(json!({"methods": ["GET", "POST"], "notMethods": ["GET"]})),
        to(json!({"paths": ["/admin/*"], "notPaths": ["/admin/{*}"]})),
        to(json!({"paths": ["/admin*"], "notPaths": ["/admin/*"]})),
        to(json!({"hosts": ["shop.*"], "notHosts": ["shop.example"]})),
        from(json!({"remoteIpBlocks": ["203.0.113.0/24"], "notRemoteIpBlocks": ["203.0.113.0/25"]})),
        from(json!({"namespaces": ["sh*"], "notNamespaces": ["shop"]})),
        from(json!({"principals": ["*/sa/web"], "notPrincipals": ["cluster.local/ns/shop/sa/web"]})),
        from(json!({"requestPrincipals": ["*"], "notRequestPrincipals": ["issuer/bob"]})),
        json!({"when": [{"key": "request.headers[x-tier]", "values": ["go*"], "notValues": ["gold"]}]}),
        json!({"when": [{"key": "request.auth.claims[groups]", "values": ["*min"], "notValues": ["admin"]}]}),
    ] {
        let config = json!({"policies": [{"metadata": {"name": "a", "namespace": "shop"}, "spec": {"rules": [rule]}}]});
        let policy = compiled(&config).unwrap();
        assert!(policy.analyse().findings.iter().all(|finding| Claim::of(finding).is_none()), "{rule}");
        let place = Place { policy: 0, rule: Some(0) };
        let claim = Claim {
            kind: Kind::NeverMatches,
            place,
            other: None,
            caveat: Caveat { unknown: true, several_names: false },
        };
        let (refuted, _) = claim.attack(&mut Random::new(3), &config["policies"], &policy, 10_000);
        assert!(refuted.is_some(), "{rule}");
    }
}
