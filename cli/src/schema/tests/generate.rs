//! Configurations made from a schema: a filter takes them or says why not, and refuses what is beyond the schema.

use super::{SINGLE, corpus, load, validator, walk};
use crate::schema::of;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

/// SplitMix64: the same configurations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % limit.max(1) as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Makes values of a schema. What conditions say is not followed but looked at: an object that breaks one is made again.
struct Maker<'s> {
    root: &'s Value,
    random: Random,
    /// How likely a field that may be left out is there, of 100.
    fill: usize,
    /// Of the objects that have been made.
    validators: HashMap<*const Value, Rc<jsonschema::Validator>>,
}

impl<'s> Maker<'s> {
    fn validator(&mut self, schema: &'s Value) -> Rc<jsonschema::Validator> {
        let root = self.root;
        let make = || {
            let mut whole = schema.clone();
            whole["$defs"] = root["$defs"].clone();
            Rc::new(jsonschema::draft202012::new(&whole).unwrap())
        };
        Rc::clone(self.validators.entry(std::ptr::from_ref(schema)).or_insert_with(make))
    }

    fn make(&mut self, schema: &'s Value, depth: usize) -> Value {
        let examples = |schema: &'s Value| schema.get("examples").and_then(Value::as_array);
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            return self.random.pick(words).clone();
        }
        if let Some(word) = schema.get("const") {
            return word.clone();
        }
        let kinds: Vec<&str> = match schema.get("type") {
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            Some(kind) => vec![kind.as_str().unwrap()],
            None => Vec::new(),
        };
        let kind = if kinds.is_empty() { "" } else { self.random.pick(&kinds) };
        match kind {
            "string" if kinds.len() == 1 && examples(schema).is_none() && schema.get("$ref").is_none() => {
                assert!(schema.get("pattern").is_none(), "{schema} needs an example");
                json!("word".repeat(1 + schema.get("minLength").map_or(0, |_| 1)))
            }
            "boolean" => json!(self.random.below(2) == 1),
            "integer" if examples(schema).is_none() => {
                let (least, most) =
                    (schema["minimum"].as_i64().unwrap_or(0), schema["maximum"].as_i64().unwrap_or(99));
                let near = least.saturating_add(i64::try_from(self.random.below(5)).unwrap()).min(most);
                json!(*self.random.pick(&[least, most, near]))
            }
            "number" if examples(schema).is_none() => json!(self.random.below(2)),
            "array" => self.list(schema, depth),
            "object" => self.object(schema, depth),
            _ => {
                if let Some(examples) = examples(schema) {
                    return self.random.pick(examples).clone();
                }
                if schema.get("$ref").is_some() {
                    return self.make(walk::resolve(self.root, schema), depth);
                }
                match schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
                    Some(several) => {
                        let one = self.random.pick(several);
                        self.make(one, depth)
                    }
                    None => json!("anything"),
                }
            }
        }
    }

    fn list(&mut self, schema: &'s Value, depth: usize) -> Value {
        if let Some(examples) = schema.get("examples").and_then(Value::as_array) {
            return self.random.pick(examples).clone();
        }
        let bound = |name: &str| {
            schema.get(name).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok())
        };
        let least = bound("minItems").unwrap_or(0);
        let most = bound("maxItems").unwrap_or(usize::MAX).min(least + if depth > 8 { 0 } else { 2 });
        let count = least + self.random.below(most - least + 1);
        let Some(items) = schema.get("items") else { return json!([]) };
        let mut list: Vec<Value> = Vec::new();
        for _ in 0..count {
            let item = self.make(items, depth + 1);
            if !list.contains(&item) {
                list.push(item);
            }
        }
        Value::Array(list)
    }

    fn object(&mut self, schema: &'s Value, depth: usize) -> Value {
        let validator = self.validator(schema);
        let mut last = Value::Null;
        for _ in 0..40 {
            last = Value::Object(self.members(schema, depth));
            if validator.is_valid(&last) {
                break;
            }
        }
        last
    }

    fn members(&mut self, schema: &'s Value, depth: usize) -> Map<String, Value> {
        let mut members = Map::new();
        let required =
            |schema: &'s Value| schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let mut wanted: BTreeSet<&str> = required(schema).filter_map(Value::as_str).collect();
        // One of the alternatives, and what it has not.
        let mut banned: BTreeSet<&str> = BTreeSet::new();
        let mut groups: Vec<&'s Value> = vec![schema];
        groups.extend(schema.get("allOf").and_then(Value::as_array).into_iter().flatten());
        while let Some(group) = groups.pop() {
            for name in ["oneOf", "anyOf"] {
                if let Some(several) = group.get(name).and_then(Value::as_array) {
                    // Deep inside it is the simplest.
                    let one = if depth > 12 { &several[0] } else { self.random.pick(several) };
                    wanted.extend(required(one).filter_map(Value::as_str));
                    let not = one.get("properties").and_then(Value::as_object).into_iter().flatten();
                    banned.extend(
                        not.filter(|(_, schema)| **schema == json!(false)).map(|(name, _)| name.as_str()),
                    );
                    groups.push(one);
                }
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        for (name, property) in properties {
            let is_there = wanted.contains(name.as_str())
                || depth < 9 && !banned.contains(name.as_str()) && self.random.below(100) < self.fill;
            if is_there && property.is_object() {
                members.insert(name.clone(), self.make(property, depth + 1));
            }
        }
        if let Some(others) = schema.get("additionalProperties").filter(|others| others.is_object()) {
            let names = &schema["propertyNames"];
            for _ in 0..self.random.below(3) {
                let name = self.make(names, depth + 1);
                members.insert(name.as_str().unwrap_or("name").to_owned(), self.make(others, depth + 1));
            }
        }
        members
    }
}

/// Configurations that are right by the filter's schema: the smallest, and others at random.
pub fn some(filter: &str, count: usize) -> Vec<Value> {
    let root = of(filter).unwrap();
    let mut maker = Maker { root: &root, random: Random(7), fill: 0, validators: HashMap::new() };
    let right = maker.validator(&root);
    let mut configs = vec![json!({})];
    for number in 0..count {
        maker.fill = number % 70;
        configs.push(maker.make(&root, 0));
    }
    let all = configs.len();
    configs.retain(|config| right.is_valid(config));
    assert!(configs.len() * 2 > all, "{filter}: only {} of {all} are right", configs.len());
    configs
}

#[test]
fn an_unknown_field_and_a_number_beyond_its_bounds_are_refused_by_filter_and_schema() {
    let mut wrong = BTreeSet::new();
    for filter in SINGLE {
        let root = of(filter).unwrap();
        let right = validator(filter);
        let mut bounded: BTreeSet<String> = BTreeSet::new();
        // Each place is tried a few times: it may have several forms.
        let mut tried: BTreeMap<String, usize> = BTreeMap::new();
        let mut configs = some(filter, 100);
        configs.extend(corpus::all(filter).into_iter().map(|found| found.config));
        configs.retain(|config| right.is_valid(config) && load(filter, &config.to_string()).0.is_ok());
        for config in configs {
            for (pointer, schemas) in walk::places(&root, &config) {
                let shape: String = pointer.chars().filter(|c| !c.is_ascii_digit()).collect();
                let count = tried.entry(shape.clone()).or_default();
                *count += 1;
                if *count > 3 {
                    continue;
                }
                let parts: Vec<&Value> = schemas.iter().flat_map(|one| walk::parts(&root, one)).collect();
                let mut check = |value: Value| {
                    let mut changed = config.clone();
                    *changed.pointer_mut(&pointer).unwrap() = value;
                    if right.is_valid(&changed) || load(filter, &changed.to_string()).0.is_ok() {
                        wrong.insert(format!("{filter}: {pointer}: {}", changed.pointer(&pointer).unwrap()));
                    }
                };
                let here = config.pointer(&pointer).unwrap();
                if let Value::Object(members) = here
                    && parts.iter().any(|part| part.get("additionalProperties") == Some(&json!(false)))
                {
                    let mut members = members.clone();
                    members.insert("nobody-knows-this".to_owned(), json!(1));
                    check(Value::Object(members));
                }
                if here.is_number() {
                    for part in parts.iter().filter(|part| part["type"] == "integer") {
                        if let Some(most) = part["maximum"].as_i64().and_then(|most| most.checked_add(1)) {
                            check(json!(most));
                        }
                        if let Some(least) = part["minimum"].as_i64() {
                            check(json!(least - 1));
                            bounded.insert(shape.clone());
                        }
                    }
                }
            }
        }
        assert!(bounded.len() > 3, "{filter}: {bounded:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}
