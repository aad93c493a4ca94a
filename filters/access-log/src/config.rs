//! From the configuration to the filter.

use crate::{
    AccessLog, Counters, Header,
    canary::Canaries,
    fields::{Item, Name, Names},
    flow::Flow,
    outputs::Outputs,
    sampling::Sampling,
};
use filter_kit::{
    Bounded, ConfigError, Environment,
    json_body::BodyFields,
    metrics::{Kind, Metrics, MetricsConfig},
    routes::Routes,
    settings::Field,
};
use pii::{Memo, Pii};

/// The most headers that are logged of each side, and the most arms.
const HEADER_LIMIT: usize = 64;

/// Compiles the whole configuration.
pub fn compile(root: &Field<'_, '_>, environment: &Environment<'_>) -> Result<AccessLog, ConfigError> {
    root.only(&[
        "outputs",
        "names",
        "fields",
        "headers",
        "body",
        "arms",
        "verdict",
        "routes",
        "sampling",
        "flow",
        "canaries",
        "pii",
        "metrics",
        "value_bytes",
    ]);
    let metrics_field = root.get("metrics");
    let mut metrics = Metrics::new(&MetricsConfig::read(&metrics_field));
    let names = Names::read(&root.get("names")).unwrap_or_default();
    let outputs_field = root.get("outputs");
    let items = read_items(&root.get("fields"), Outputs::is_alone(&outputs_field));
    let items: Vec<_> = items.into_iter().map(|item| (item, item.name(names))).collect();
    let outputs = Outputs::read(&outputs_field, &items, &mut metrics, environment);
    let headers = root.get("headers");
    headers.only(&["request", "response", "others"]);
    let (arms, verdict) = (root.get("arms"), root.get("verdict"));
    verdict.only(&["header", "record"]);
    let is_record_read = verdict.get("record").flag(false);
    if verdict.is_given() && !is_record_read && !verdict.get("header").is_given() {
        verdict.get("header").refuse("must be the name of the header with the verdict, got nothing");
    }
    let (body, body_names) = read_body(&root.get("body"));
    let dropped = metrics.family(Kind::Counter, "access_log_values_dropped_total", &["reason"]);
    let unread = metrics.family(Kind::Counter, "access_log_bodies_unread_total", &["reason"]);
    let trace = metrics.family(Kind::Counter, "access_log_traceparent_invalid_total", &[]);
    let sampled_out = metrics.family(Kind::Counter, "access_log_sampled_out_total", &[]);
    let mut series = |family, value: &'static str| {
        let values = [Bounded::own(value)];
        metrics.series(family, if value.is_empty() { &[] } else { &values })
    };
    let counters = Counters {
        undecodable: series(dropped, "undecodable"),
        too_long: series(dropped, "too_long"),
        malformed: series(unread, "malformed"),
        body_too_long: series(unread, "too_long"),
        too_deep: series(unread, "too_deep"),
        encoded: series(unread, "encoded"),
        bad_trace: series(trace, ""),
        sampled_out: series(sampled_out, ""),
    };
    let value_bytes = root.get("value_bytes").whole(16, 65_536).and_then(|bytes| usize::try_from(bytes).ok());
    let filter = AccessLog {
        names,
        items,
        outputs,
        request_headers: read_headers(&headers.get("request"), names, false),
        response_headers: read_headers(&headers.get("response"), names, true),
        others: headers.get("others").flag(false).then(|| Name::new("other_headers")),
        arms: read_arms(&arms),
        verdict: verdict.get("header").header(false),
        record_name: names.policy_record(),
        is_record_read,
        single_headers: if body.is_empty() { Vec::new() } else { BODY_HEADERS.map(Into::into).to_vec() },
        body,
        body_names,
        routes: Routes::read(&root.get("routes")),
        sampling: Sampling::read(&root.get("sampling")),
        flow: Flow::read(&root.get("flow"), &mut metrics),
        canaries: Canaries::read(&root.get("canaries"), &mut metrics),
        known: Memo::default(),
        pii: Pii::read(&root.get("pii"), environment),
        value_bytes: value_bytes.unwrap_or(2048),
        counters,
        metrics,
    };
    filter.metrics.check_budget(&metrics_field);
    root.finish(filter)
}

/// What says whether a body is read.
pub const BODY_HEADERS: [&str; 2] = ["content-type", "content-encoding"];

/// The fields of a record: those that are asked for, or else all that cost no host call of their own, and the others too where no native access
/// logger adds them.
fn read_items(config: &Field<'_, '_>, is_alone: bool) -> Vec<Item> {
    if !config.is_given() {
        let all = Item::WORDS.iter().map(|(_, item)| *item);
        return all.filter(|item| is_alone || !item.is_property()).collect();
    }
    let mut items = Vec::new();
    for field in config.items_up_to(Item::WORDS.len()) {
        let Some(item) = Item::read(&field) else {
            field.refuse("must be the name of a field, got nothing");
            continue;
        };
        if items.contains(&item) {
            field.refuse_text("must be another field than those before it", field.text().unwrap_or_default());
        }
        items.push(item);
    }
    items
}

fn read_headers(config: &Field<'_, '_>, names: Names, is_response: bool) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    for item in config.items_up_to(HEADER_LIMIT) {
        let Some(name) = item.header(false) else {
            item.refuse("must be the name of a header, got nothing");
            continue;
        };
        if headers.iter().any(|other| other.name == name) {
            item.refuse_text("must be another header than those before it", name.as_str());
        }
        headers.push(Header { key: names.header(name.as_str(), is_response), name });
    }
    headers
}

fn read_arms(config: &Field<'_, '_>) -> Vec<Header> {
    let mut arms: Vec<Header> = Vec::new();
    for item in config.items_up_to(HEADER_LIMIT) {
        item.only(&["experiment", "header"]);
        let (experiment, header) = (item.get("experiment"), item.get("header"));
        let name = experiment.text().unwrap_or_default();
        if name.is_empty() {
            experiment.refuse("must be the experiment's name, got nothing");
        }
        let Some(header_name) = header.header(false) else {
            header.refuse("must be the name of the header with the arm, got nothing");
            continue;
        };
        arms.push(Header { key: Name::new(&["arm.", name].concat()), name: header_name });
    }
    arms
}

fn read_body(config: &Field<'_, '_>) -> (BodyFields, Vec<Name>) {
    let body = BodyFields::read(config);
    let names = body.names().map(|name| Name::new(&["request_body.", &name].concat())).collect();
    (body, names)
}
