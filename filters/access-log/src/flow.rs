//! Where personal data flows: what was found in which part of which route, and what a route has not carried before.

use filter_kit::{
    Bounded, Effects, Level, MetricChange,
    metrics::{FamilyId, Kind, Metrics},
    routes::{RouteId, Routes},
    settings::Field,
};
use pii::{Entity, Group, Set};
use std::cell::{Cell, RefCell};

/// A part of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The path of the request target.
    Path,
    /// Its query.
    Query,
    /// A `cookie` header.
    Cookie,
    /// Another header, of the request or the response.
    Header,
    /// The request's body.
    Body,
}

impl Part {
    const ALL: [Self; 5] = [Self::Path, Self::Query, Self::Cookie, Self::Header, Self::Body];

    const fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Cookie => "cookie",
            Self::Header => "header",
            Self::Body => "body",
        }
    }
}

/// What was found in an exchange, without a value.
#[derive(Debug, Default)]
pub struct Found(Vec<(Part, Entity, u64)>);

impl Found {
    /// Adds so many values of an entity. There are as many entries as there are entities and parts at most.
    pub fn add(&mut self, part: Part, entity: Entity, count: u64) {
        let known = self.0.iter_mut().find(|(other, of, _)| (*other, *of) == (part, entity));
        match known {
            Some((_, _, known)) => *known += count,
            None => self.0.push((part, entity, count)),
        }
    }

    /// How often each entity was found, in all parts together.
    pub fn entities(&self) -> impl Iterator<Item = (Entity, u64)> {
        self.0.iter().enumerate().filter_map(|(place, (_, entity, _))| {
            let is_first = !self.0.iter().take(place).any(|(_, earlier, _)| earlier == entity);
            let of_it = self.0.iter().filter(|(_, other, _)| other == entity);
            is_first.then(|| (*entity, of_it.map(|(_, _, count)| count).sum()))
        })
    }
}

/// Counts what is found, and turns a gauge where a route carries what it did not carry before.
#[derive(Debug)]
pub struct Flow {
    found: FamilyId,
    drift: FamilyId,
    /// What is gone through beside what is logged.
    pub scan: Scan,
    /// How long a route may carry something new without a word, in nanoseconds from the first exchange on; `None` says nothing ever.
    learning: Option<u64>,
    /// When the learning ends, in nanoseconds since 1970 (UTC).
    until: Cell<Option<u64>>,
    /// What each route has carried in each part, by the route's id.
    carried: RefCell<Vec<[Set; Part::ALL.len()]>>,
    /// What the configuration says that routes carry.
    known: Vec<(Box<str>, Set)>,
}

/// What is gone through beside what is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scan {
    /// The cookies.
    pub cookies: bool,
    /// All headers of the request and the response.
    pub headers: bool,
    /// The request's body.
    pub body: bool,
}

impl Flow {
    /// Reads `{"scan": ["cookies", "headers", "body"], "drift": true, "learn_seconds": 3600, "known": [{"route": "/login", "entities": ["email"]}]}`.
    pub fn read(config: &Field<'_, '_>, metrics: &mut Metrics) -> Self {
        const KNOWN_LIMIT: usize = 1000;
        config.only(&["scan", "drift", "learn_seconds", "known"]);
        let mut scan = Scan::default();
        for item in config.get("scan").items_up_to(3) {
            match item.choice(&["cookies", "headers", "body"]) {
                Some(0) => scan.cookies = true,
                Some(1) => scan.headers = true,
                Some(_) => scan.body = true,
                None if !item.is_given() => {
                    item.refuse("must be `cookies`, `headers` or `body`, got nothing");
                }
                None => {}
            }
        }
        let seconds = config.get("learn_seconds").whole(0, 30 * 86_400);
        let learning =
            seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(3600) * 1_000_000_000;
        let routes = config.get("known");
        let known = routes.items_up_to(KNOWN_LIMIT).map(|item| {
            item.only(&["route", "entities"]);
            let route = item.get("route");
            let name = route.text().unwrap_or_default();
            if name.is_empty() {
                route.refuse("must be the label of a route, got nothing");
            }
            let entities = item.get("entities").items().fold(Set::EMPTY, |set, item| set.or(members(&item)));
            (name.into(), entities)
        });
        Self {
            found: metrics.family(Kind::Counter, "pii_found_total", &["entity", "part", "route"]),
            drift: metrics.family(Kind::Gauge, "pii_drift", &["entity", "part", "route"]),
            scan,
            learning: config.get("drift").flag(true).then_some(learning),
            until: Cell::new(None),
            carried: RefCell::default(),
            known: known.collect(),
        }
    }

    /// Counts what was found, and looks whether it is new.
    pub fn note<'a>(
        &'a self,
        found: &Found,
        routes: &Routes,
        route: RouteId,
        now: u64,
        effects: &mut Effects<'a>,
    ) {
        if found.0.is_empty() && (self.learning.is_none() || self.until.get().is_some()) {
            return;
        }
        let until = self.until.get().unwrap_or_else(|| {
            let until = now.saturating_add(self.learning.unwrap_or(0));
            self.until.set(Some(until));
            until
        });
        for (part, entity, count) in &found.0 {
            let label = routes.label(route);
            let labels = || {
                vec![
                    Bounded::own(entity.id()),
                    Bounded::own(part.name()),
                    Bounded::own(label.as_str().to_owned()),
                ]
            };
            effects.measure(MetricChange::Labelled(self.found, labels(), *count));
            if self.learning.is_some() && self.is_new(route, label.as_str(), *part, *entity) && now >= until {
                effects.measure(MetricChange::Labelled(self.drift, labels(), 1));
                let line = [
                    "personal data drift: route ",
                    label.as_str(),
                    " carries ",
                    entity.id(),
                    " in its ",
                    part.name(),
                    ", which it did not before",
                ];
                effects.log(Level::Warn, Bounded::own(line.concat()));
            }
        }
    }

    /// Whether a route has not carried an entity in a part before. From now on it has.
    fn is_new(&self, route: RouteId, label: &str, part: Part, entity: Entity) -> bool {
        let Ok(mut carried) = self.carried.try_borrow_mut() else { return false };
        if carried.len() <= route.index() {
            // Routes are bounded, and so are their ids.
            carried.resize(route.index() + 1, [Set::EMPTY; Part::ALL.len()]);
        }
        let place = Part::ALL.iter().position(|other| *other == part);
        let Some(set) =
            carried.get_mut(route.index()).zip(place).and_then(|(parts, place)| parts.get_mut(place))
        else {
            return false;
        };
        if set.has(entity) {
            return false;
        }
        *set = set.with(entity);
        !self.known.iter().any(|(known, entities)| **known == *label && entities.has(entity))
    }
}

/// The entity of this id, or the entities of this group.
fn members(field: &Field<'_, '_>) -> Set {
    let name = field.text().unwrap_or_default();
    if let Some(entity) = Entity::from_id(name) {
        return Set::EMPTY.with(entity);
    }
    let Some(group) = Group::ALL.iter().find(|group| group.id() == name) else {
        field.refuse_text("must be the id of an entity or a group", name);
        return Set::EMPTY;
    };
    Set::all().iter().filter(|entity| entity.group() == *group).fold(Set::EMPTY, Set::with)
}
