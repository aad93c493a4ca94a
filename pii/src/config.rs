//! From the configuration to an engine.

use crate::{
    Engine, Operator, Tokens,
    engine::{DEFAULT_LAYERS, Parts},
    entity::{Entity, Group, Set},
};
use filter_kit::{Environment, settings::Field};
use std::borrow::Cow;

/// The most entries of each list.
const MOST: usize = 256;
/// The most layers of base64 that are undone.
const MOST_LAYERS: i64 = 8;

/// What a configuration asks for: the engine, and where the keys of its tokens come from.
#[derive(Debug, Default)]
pub struct Pii {
    /// Finds and redacts.
    pub engine: Engine,
    /// The keys of tokens, by day.
    pub tokens: Tokens,
}

impl Pii {
    /// Reads the object that says what is found and what is done with it, `{}` and nothing being all defaults:
    ///
    /// - `detect`: ids of entities and groups; all are found where it is empty. `ignore`: those that are not.
    /// - `operators`: what is done, by entity or group: `{"card": {"do": "mask", "last": 4}}`. An entity's own counts before its group's.
    /// - `keys`: further names of fields, each with the entity that its value is.
    /// - `literals`: texts that are found wherever they stand, `{"text", "entity"}`. `regexes`: `{"pattern", "entity"}`, in a build that has them.
    /// - `base64_layers`: how many of them are undone, 0 to 8.
    /// - `token`: `key_env` names the variable of the VM's environment with the secret, of 16 bytes or more; `key_id` and `tenant`.
    ///
    /// What is wrong is noted on the field, and the document's [`finish`](Field::finish) refuses it: an entity that there is none of, a mask that
    /// keeps too much, an unkeyed hash, a key given literally or not set, a regex that does not compile or that this build has no engine for, a
    /// list that is too long.
    pub fn read(config: &Field<'_, '_>, environment: &Environment<'_>) -> Self {
        config.only(&[
            "detect",
            "ignore",
            "operators",
            "keys",
            "literals",
            "regexes",
            "base64_layers",
            "token",
        ]);
        let tokens = Tokens::read(&config.get("token"), environment);
        let mut parts = Parts { on: detected(config), ..Parts::default() };
        read_operators(&config.get("operators"), &mut parts.operators);
        let keys = config.get("keys");
        if keys.fields().count() > MOST {
            keys.refuse_got("must hold at most 256", &keys.fields().count().to_string());
        }
        for (name, field) in keys.fields().take(MOST) {
            if !name.bytes().any(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80) || name.len() > 40 {
                field.refuse_text("must be a name of 1 to 40 bytes with a letter", name);
            }
            if !field.is_given() {
                field.refuse("must be the id of an entity, got nothing");
            }
            parts.keys.extend(entity(&field).map(|entity| (name.to_owned(), entity)));
        }
        for item in config.get("literals").items_up_to(MOST) {
            item.only(&["text", "entity"]);
            let (field, entity) = (item.get("text"), entity(&item.get("entity")));
            let text = field.text().unwrap_or_default();
            if !(3..=256).contains(&text.len()) {
                field.refuse_got("must have 3 to 256 bytes", &text.len().to_string());
            }
            parts.literals.extend(entity.map(|entity| (text.to_owned(), entity)));
        }
        let regexes = config.get("regexes");
        #[cfg(feature = "regex")]
        if !regexes.is_empty() {
            parts.regexes = read_regexes(&regexes);
        }
        #[cfg(not(feature = "regex"))]
        if !regexes.is_empty() {
            regexes.refuse("must be empty: this build has no engine for regexes (feature `regex`)");
        }
        let layers = config.get("base64_layers").whole(0, MOST_LAYERS);
        parts.layers = layers.and_then(|layers| u8::try_from(layers).ok()).unwrap_or(DEFAULT_LAYERS);
        Self { engine: Engine::new(parts), tokens }
    }
}

/// The entities that are found.
fn detected(config: &Field<'_, '_>) -> Set {
    let (detect, ignore) = (config.get("detect"), config.get("ignore"));
    let named = |list: &Field<'_, '_>| {
        list.items_up_to(MOST)
            .fold(Set::EMPTY, |set, item| set.or(members(&item, item.text().unwrap_or_default())))
    };
    // What cannot be read is dropped, whatever else is found.
    let on = if detect.is_empty() { Set::all() } else { named(&detect).with(Entity::Undecodable) };
    on.and_not(named(&ignore))
}

/// The entity of this id, or the entities of this group.
fn members(field: &Field<'_, '_>, name: &str) -> Set {
    if let Some(entity) = Entity::from_id(name) {
        return Set::EMPTY.with(entity);
    }
    let Some(group) = Group::ALL.iter().find(|group| group.id() == name) else {
        field.refuse_text("must be the id of an entity or a group", name);
        return Set::EMPTY;
    };
    Set::all().iter().filter(|entity| entity.group() == *group).fold(Set::EMPTY, Set::with)
}

/// The entity whose id stands here; where nothing does, it is the user's own.
fn entity(field: &Field<'_, '_>) -> Option<Entity> {
    if !field.is_given() {
        return Some(Entity::Custom);
    }
    let id = field.text()?;
    let entity = Entity::from_id(id);
    if entity.is_none() {
        field.refuse_text("must be the id of an entity", id);
    }
    entity
}

/// Groups come first, so that an entity's own operator is the one that stays.
fn read_operators(config: &Field<'_, '_>, operators: &mut [Operator]) {
    for is_group in [true, false] {
        for (name, field) in config.fields().filter(|(name, _)| Entity::from_id(name).is_none() == is_group) {
            let members = members(&field, name);
            let Some(operator) = read_operator(&field, members) else { continue };
            for entity in members.iter() {
                if let Some(into) = operators.get_mut(entity.index()) {
                    into.clone_from(&operator);
                }
            }
        }
    }
}

/// The operator, if it may be that of the entities.
fn read_operator(field: &Field<'_, '_>, members: Set) -> Option<Operator> {
    const WORDS: [&str; 7] = ["drop", "fixed", "mask", "truncate", "token", "hash", "keep"];
    const WORDS_FIELDS: [&[&str]; 7] = [
        &["do"],
        &["do", "text"],
        &["do", "first", "last", "hide_length"],
        &["do"],
        &["do", "domain"],
        &["do"],
        &["do"],
    ];
    let choice = field.get("do");
    if !choice.is_given() {
        field.only(&["do", "text", "first", "last", "hide_length", "domain"]);
        choice.refuse("must say what is done, got nothing");
    }
    let place = choice.choice(&WORDS);
    field.only(place.and_then(|place| WORDS_FIELDS.get(place)).unwrap_or(&WORDS_FIELDS[0]));
    let any = |breaks: &dyn Fn(Entity) -> bool| members.iter().find(|entity| breaks(*entity)).map(Entity::id);
    Some(match *WORDS.get(place?)? {
        "fixed" => {
            let text = field.get("text").text().unwrap_or_default();
            if !field.get("text").is_given() || text.len() > 64 || text.chars().any(char::is_control) {
                let rule = "must be a text of at most 64 bytes without control characters, got ";
                field.refuse(&[rule, &text.len().to_string(), " bytes"].concat());
            }
            Operator::Fixed(Cow::Owned(text.to_owned()))
        }
        "mask" => {
            let size = |name| {
                let size = field.get(name).whole(0, 255).unwrap_or(0);
                u8::try_from(size).unwrap_or(u8::MAX)
            };
            let (first, last) = (size("first"), size("last"));
            for entity in members.iter() {
                let (front, end) = kept(entity);
                if first > front || last > end {
                    let [front, end] = [front, end].map(|count| count.to_string());
                    let rule = ["must keep at most the first ", &front, " and the last ", &end];
                    let rule = [&rule.concat(), " characters of ", entity.id()].concat();
                    field.refuse_got(&rule, &(u16::from(first) + u16::from(last)).to_string());
                }
            }
            Operator::Mask { first, last, hide_length: field.get("hide_length").flag(false) }
        }
        "truncate" => {
            if let Some(id) = any(&|entity| entity.default_operator() != Operator::Truncate) {
                field.refuse(&["must be another operator: ", id, " has no coarser value"].concat());
            }
            Operator::Truncate
        }
        "token" => {
            let domain = field.get("domain").flag(false);
            if domain && let Some(id) = any(&|entity| entity != Entity::Email) {
                field.refuse(&["must not keep a domain: ", id, " has none"].concat());
            }
            Operator::Token { domain }
        }
        "hash" => {
            if let Some(entity) = members.iter().next() {
                let rule = "must be token, which has a key: an unkeyed hash of ";
                let why = if entity.is_small_domain() {
                    " hides nothing, for its values are so few that all can be tried"
                } else {
                    " hides nothing, for anybody can try values"
                };
                field.refuse(&[rule, entity.id(), why].concat());
            }
            return None;
        }
        "keep" => Operator::Keep,
        _ => Operator::Drop,
    })
}

/// How many characters at its ends a mask may leave of an entity.
fn kept(entity: Entity) -> (u8, u8) {
    match entity {
        // PCI DSS 4.0, requirement 3.4.1.
        Entity::Card => (6, 4),
        Entity::Password
        | Entity::Secret
        | Entity::ApiToken
        | Entity::PrivateKey
        | Entity::CardSecurityCode => (0, 0),
        _ => (4, 4),
    }
}

/// All regexes in one engine.
#[cfg(feature = "regex")]
fn read_regexes(config: &Field<'_, '_>) -> Option<crate::regex::Regexes> {
    let mut patterns = Vec::new();
    for item in config.items_up_to(MOST) {
        item.only(&["pattern", "entity"]);
        let (pattern, entity) = (item.get("pattern"), entity(&item.get("entity")));
        patterns.push((pattern.text().unwrap_or_default(), entity.unwrap_or(Entity::Custom)));
    }
    match crate::regex::Regexes::new(&patterns) {
        Ok(regexes) => Some(regexes),
        Err((index, rule)) => {
            match config.items().nth(index) {
                Some(item) => item.get("pattern").refuse(&rule),
                None => config.refuse(&rule),
            }
            None
        }
    }
}
