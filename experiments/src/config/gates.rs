//! Layers, holdouts, namespaces and filters: hashes that must fall into ranges before a key is put into an arm.

use super::{
    Shared,
    hash::{self, between, range},
};
use crate::{
    bucket::{Algorithm, Bucketer, Parameters, Ranges, SLOTS, Units},
    experiment::{Gate, Reason},
    key::{KeyList, KeySource},
};
use filter_kit::settings::Field;

/// Layers and holdouts that nobody names are checked too.
pub(super) fn check(layers: &Field<'_, '_>, holdouts: &Field<'_, '_>) {
    for field in layers.items() {
        field.only(&["name", "algorithm", "seed", "group", "salt", "total_shards", "units"]);
        layer(&field);
    }
    for field in holdouts.items() {
        field.only(&["name", "salt", "share"]);
        holdout(&field);
    }
}

fn layer(field: &Field<'_, '_>) -> Bucketer {
    let algorithm = Algorithm::read(&field.get("algorithm")).unwrap_or_default();
    // flagd's and Unleash's totals are sums of weights, and a layer has none.
    hash::read(field, algorithm, field.get("name").text().unwrap_or_default(), u64::from(SLOTS))
}

fn holdout(field: &Field<'_, '_>) -> Gate {
    let share = field.get("share");
    if !share.is_given() {
        share.refuse("must be 0..=10000, got nothing");
    }
    let share = share.whole(0, i64::from(SLOTS)).unwrap_or(0).unsigned_abs();
    let bucketer = hash::read(field, Algorithm::Outrigger, field.get("name").text().unwrap_or_default(), 0);
    Gate { is_inside: false, ..inside(bucketer, &[(0, share, 0)], Reason::HeldOut) }
}

/// A gate that lets in whose hash is in the ranges.
fn inside(bucketer: Bucketer, ranges: &[(u64, u64, u16)], reason: Reason) -> Gate {
    Gate { bucketer, ranges: Ranges::new(ranges), is_inside: true, keys: None, reason }
}

/// Reads the gates of an experiment.
#[inline(never)]
pub(super) fn read<'c>(
    field: &Field<'_, 'c>,
    algorithm: Algorithm,
    name: &'c str,
    shared: &mut Shared<'c>,
) -> Vec<Gate> {
    let mut gates = Vec::new();
    let root = shared.root;
    let (holdouts, layers) = (root.get("holdouts"), root.get("layers"));
    for wanted in field.get("holdouts").items() {
        let text = wanted.text().unwrap_or_default();
        match holdouts.items().find(|other| other.get("name").text() == Some(text)) {
            Some(found) => gates.push(holdout(&found)),
            None => wanted.refuse_text("must be the name of a holdout", text),
        }
    }
    let own = field.get("layer");
    if own.is_given() {
        own.only(&["name", "ranges"]);
        let wanted = own.get("name");
        let text = wanted.text().unwrap_or_default();
        match layers.items().find(|other| other.get("name").text() == Some(text)) {
            Some(found) => {
                let bucketer = layer(&found);
                let mut ranges = Vec::new();
                each_range(&own.get("ranges"), &bucketer, &mut |field, start, end| {
                    shared.take(field, (false, text), (start, end), name);
                    ranges.push((start, end, 0));
                });
                gates.push(inside(bucketer, &ranges, Reason::OtherLayer));
            }
            None => wanted.refuse_text("must be the name of a layer", text),
        }
    }
    let (namespace, filters) = (field.get("namespace"), field.get("filters"));
    if namespace.is_given() {
        let mut parts = namespace.items();
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(id), Some(start), Some(end), None) => {
                let id = id.text().unwrap_or_default();
                let bucketer = Bucketer::namespace(id, Units::read(&field.get("units")).unwrap_or_default());
                let (start, end) = between(&namespace, &start, &end, &bucketer);
                shared.take(&namespace, (true, id), (start, end), name);
                // GrowthBook's filters take the namespace's place.
                if filters.is_empty() {
                    gates.push(inside(bucketer, &[(start, end, 0)], Reason::Filtered));
                }
            }
            _ => namespace.refuse("must be [\"id\", start, end]"),
        }
    }
    for filter in filters.items() {
        filter.only(&["algorithm", "seed", "group", "salt", "total_shards", "units", "key", "ranges"]);
        // GrowthBook's filters are of version 2.
        let usual = if algorithm == Algorithm::GrowthbookV1 { Algorithm::GrowthbookV2 } else { algorithm };
        let algorithm = Algorithm::read(&filter.get("algorithm")).unwrap_or(usual);
        let bucketer = hash::read(&filter, algorithm, name, u64::from(SLOTS));
        let mut ranges = Vec::new();
        each_range(&filter.get("ranges"), &bucketer, &mut |_, start, end| ranges.push((start, end, 0)));
        let key = filter.get("key");
        let keys = (!key.is_empty()).then(|| KeyList { sources: sources(&key), visitor_cookie: None });
        let keys = keys.map(|keys| shared.key_list(keys));
        gates.push(Gate { keys, ..inside(bucketer, &ranges, Reason::Filtered) });
    }
    let coverage = field.get("coverage");
    if algorithm == Algorithm::UnleashVariant && coverage.is_given() {
        let percent = coverage.whole(0, 100).unwrap_or(0).unsigned_abs();
        let (rollout, group) = (field.get("rollout_group"), field.get("group"));
        let group = rollout.word().or(group.word()).unwrap_or(name);
        let bucketer = Bucketer::new(Algorithm::Unleash, &Parameters { group, ..Parameters::default() });
        gates.push(inside(bucketer, &[(0, percent, 0)], Reason::NotCovered));
    }
    gates
}

/// Reads the ranges of a layer or a filter.
fn each_range(field: &Field<'_, '_>, bucketer: &Bucketer, each: &mut dyn FnMut(&Field<'_, '_>, u64, u64)) {
    if field.is_empty() {
        field.refuse("must hold at least one range, got none");
    }
    for item in field.items() {
        let (start, end) = range(&item, bucketer);
        each(&item, start, end);
    }
}

/// Reads where a key is looked for.
pub(super) fn sources(field: &Field<'_, '_>) -> Vec<KeySource> {
    field.items().filter_map(|item| source(&item)).collect()
}

fn source(field: &Field<'_, '_>) -> Option<KeySource> {
    field.only(&["header", "cookie", "query"]);
    let [header, cookie, query] = ["header", "cookie", "query"].map(|name| field.get(name));
    if [&header, &cookie, &query].into_iter().filter(|field| field.is_given()).count() != 1 {
        field.refuse("must have exactly one of header, cookie, query");
    }
    let text = |field: &Field<'_, '_>| -> Option<Box<str>> {
        let text = field.text()?;
        if text.is_empty() {
            field.refuse("must not be empty");
        }
        Some(text.into())
    };
    if header.is_given() {
        return header.header(false).map(KeySource::Header);
    }
    text(&cookie).map(KeySource::Cookie).or_else(|| text(&query).map(KeySource::Query))
}
