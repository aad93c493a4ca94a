//! The configuration as it is written, and its way to an engine.

use crate::{
    Engine, Operator,
    engine::{DEFAULT_LAYERS, Parts},
    entity::{Entity, Group, Set},
};
use serde::Deserialize;
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// A configuration that was refused: which field, which rule, which value.
///
/// Displayed as `operators.card: must keep at most the first 6 and the last 4 digits, got 12`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: String,
    message: String,
}

impl ConfigError {
    #[cold]
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// The field's path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The rule and the value.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl std::error::Error for ConfigError {}

/// What is found, and what is done with it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Entities and groups that are found; all of them where this is empty.
    pub detect: Vec<String>,
    /// Entities and groups that are not.
    pub ignore: Vec<String>,
    /// What is done, by entity or group. An entity's own comes before its group's.
    pub operators: BTreeMap<String, OperatorConfig>,
    /// Further names of fields, each with the entity that its value is.
    pub keys: BTreeMap<String, String>,
    /// Texts that are found wherever they stand.
    pub literals: Vec<LiteralConfig>,
    /// Regexes, in a module that has them.
    pub regexes: Vec<RegexConfig>,
    /// How many layers of base64 are undone, 0 to 8.
    pub base64_layers: u8,
    /// Where the key of tokens comes from.
    pub token: TokenConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            detect: Vec::new(),
            ignore: Vec::new(),
            operators: BTreeMap::new(),
            keys: BTreeMap::new(),
            literals: Vec::new(),
            regexes: Vec::new(),
            base64_layers: DEFAULT_LAYERS,
            token: TokenConfig::default(),
        }
    }
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum OperatorConfig {
    /// The type in brackets.
    Drop {},
    /// A text.
    Fixed {
        /// The text, at most 64 bytes.
        text: String,
    },
    /// `*` for each character but those at the ends.
    Mask {
        /// Letters and digits that stay at the front.
        #[serde(default)]
        first: u8,
        /// Those that stay at the end.
        #[serde(default)]
        last: u8,
        /// Three `*` for all of them.
        #[serde(default)]
        hide_length: bool,
    },
    /// A coarser value.
    Truncate {},
    /// A keyed token.
    Token {
        /// Whether an email's domain stays.
        #[serde(default)]
        domain: bool,
    },
    /// An unkeyed hash, which is always refused: it says what to do instead.
    Hash {},
    /// The value itself.
    Keep {},
}

/// A text that is found wherever it stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiteralConfig {
    /// The text, in its own case, of at least 3 bytes.
    pub text: String,
    /// What it is.
    #[serde(default = "custom")]
    pub entity: String,
}

/// A regex.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegexConfig {
    /// The regex, in the syntax of the Rust crate `regex`, for ASCII.
    pub pattern: String,
    /// What its matches are.
    #[serde(default = "custom")]
    pub entity: String,
}

fn custom() -> String {
    Entity::Custom.id().to_owned()
}

/// Where the key of tokens comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// The variable of the VM's environment that holds the key, of 16 bytes or more.
    pub key_env: Option<String>,
    /// The key's name in tokens.
    pub key_id: String,
    /// A key given literally is refused: who reads the configuration could make tokens.
    pub key: Option<String>,
}

/// The most of each list.
const MOST: usize = 256;

impl Config {
    /// Checks the configuration and makes an engine of it.
    ///
    /// # Errors
    /// The first thing that is wrong, with the field's path: an entity that there is none of, a mask that keeps too much, an unkeyed hash, a
    /// key given literally, a regex that does not compile or that this build has no engine for, a list that is too long.
    pub fn compile(self) -> Result<Engine, ConfigError> {
        if self.token.key.is_some() {
            return Err(ConfigError::new(
                "token.key",
                "must not stand in the configuration; name a variable of the VM's environment in token.key_env",
            ));
        }
        let mut parts = Parts::default();
        if !self.detect.is_empty() {
            // What cannot be read is dropped, whatever else is found.
            parts.on = Set::EMPTY.with(Entity::Undecodable);
            for (index, name) in self.detect.iter().enumerate() {
                let members = members(name, || format!("detect[{index}]"))?;
                parts.on = members.into_iter().fold(parts.on, Set::with);
            }
        }
        for (index, name) in self.ignore.iter().enumerate() {
            let members = members(name, || format!("ignore[{index}]"))?;
            parts.on = members.into_iter().fold(parts.on, Set::without);
        }
        // Groups first, so that an entity's own operator comes last.
        let is_group = |name: &String| Entity::from_id(name).is_none();
        let (groups, entities): (Vec<_>, Vec<_>) =
            self.operators.iter().partition(|(name, _)| is_group(name));
        for (name, config) in groups.into_iter().chain(entities) {
            let path = format!("operators.{name}");
            for entity in members(name, || path.clone())? {
                let operator = operator(config, entity).map_err(|rule| ConfigError::new(&path, rule))?;
                if let Some(into) = parts.operators.get_mut(entity.index()) {
                    *into = operator;
                }
            }
        }
        within("keys", self.keys.len())?;
        for (name, entity) in &self.keys {
            let path = format!("keys.{name}");
            if !name.bytes().any(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80) || name.len() > 40 {
                return Err(ConfigError::new(
                    path,
                    format!("must be a name of 1 to 40 bytes with a letter, got {name:?}"),
                ));
            }
            parts.keys.push((name.clone(), one(entity, path)?));
        }
        within("literals", self.literals.len())?;
        for (index, literal) in self.literals.iter().enumerate() {
            if literal.text.len() < 3 || literal.text.len() > 256 {
                let got = literal.text.len();
                return Err(ConfigError::new(
                    format!("literals[{index}].text"),
                    format!("must have 3 to 256 bytes, got {got}"),
                ));
            }
            parts
                .literals
                .push((literal.text.clone(), one(&literal.entity, format!("literals[{index}].entity"))?));
        }
        within("regexes", self.regexes.len())?;
        for (index, regex) in self.regexes.iter().enumerate() {
            one(&regex.entity, format!("regexes[{index}].entity"))?;
        }
        #[cfg(feature = "regex")]
        if !self.regexes.is_empty() {
            let regexes = crate::regex::Regexes::new(&self.regexes);
            parts.regexes = Some(
                regexes
                    .map_err(|(index, rule)| ConfigError::new(format!("regexes[{index}].pattern"), rule))?,
            );
        }
        #[cfg(not(feature = "regex"))]
        if !self.regexes.is_empty() {
            return Err(ConfigError::new(
                "regexes",
                "must be empty: this build has no engine for regexes (feature `regex`)",
            ));
        }
        if self.base64_layers > 8 {
            return Err(ConfigError::new(
                "base64_layers",
                format!("must be 0..=8, got {}", self.base64_layers),
            ));
        }
        parts.layers = self.base64_layers;
        Ok(Engine::new(parts))
    }
}

fn within(path: &str, count: usize) -> Result<(), ConfigError> {
    if count > MOST {
        return Err(ConfigError::new(path, format!("must have at most {MOST} entries, got {count}")));
    }
    Ok(())
}

/// The entity of this id, or the entities of this group.
fn members(name: &str, path: impl Fn() -> String) -> Result<Vec<Entity>, ConfigError> {
    if let Some(entity) = Entity::from_id(name) {
        return Ok(vec![entity]);
    }
    let Some(group) = Group::ALL.iter().find(|group| group.id() == name) else {
        return Err(ConfigError::new(
            path(),
            format!("must be the id of an entity or a group, got {name:?}"),
        ));
    };
    Ok(Entity::ALL.iter().copied().filter(|entity| entity.group() == *group).collect())
}

fn one(id: &str, path: String) -> Result<Entity, ConfigError> {
    Entity::from_id(id)
        .ok_or_else(|| ConfigError::new(path, format!("must be the id of an entity, got {id:?}")))
}

/// The operator, if it may be that of the entity.
fn operator(config: &OperatorConfig, entity: Entity) -> Result<Operator, String> {
    Ok(match config {
        OperatorConfig::Drop {} => Operator::Drop,
        OperatorConfig::Fixed { text } if text.len() > 64 || text.chars().any(char::is_control) => {
            return Err(format!(
                "must be a text of at most 64 bytes without control characters, got {} bytes",
                text.len()
            ));
        }
        OperatorConfig::Fixed { text } => Operator::Fixed(Cow::Owned(text.clone())),
        OperatorConfig::Mask { first, last, hide_length } => {
            let (front, end) = match entity {
                // PCI DSS 4.0, requirement 3.4.1.
                Entity::Card => (6, 4),
                Entity::Password
                | Entity::Secret
                | Entity::ApiToken
                | Entity::PrivateKey
                | Entity::CardSecurityCode => (0, 0),
                _ => (4, 4),
            };
            if *first > front || *last > end {
                let got = u16::from(*first) + u16::from(*last);
                return Err(format!(
                    "must keep at most the first {front} and the last {end} characters of {entity}, got {got}"
                ));
            }
            Operator::Mask { first: *first, last: *last, hide_length: *hide_length }
        }
        OperatorConfig::Truncate {} => match entity {
            Entity::Ipv4 | Entity::Ipv6 | Entity::Coordinates | Entity::DateOfBirth => Operator::Truncate,
            _ => return Err(format!("must be another operator: {entity} has no coarser value")),
        },
        OperatorConfig::Token { domain: true } if entity != Entity::Email => {
            return Err(format!("must not keep a domain: {entity} has none"));
        }
        OperatorConfig::Token { domain } => Operator::Token { domain: *domain },
        OperatorConfig::Hash {} => {
            let why = if entity.is_small_domain() {
                "its values are so few that all can be tried"
            } else {
                "anybody can try values"
            };
            return Err(format!(
                "must be token, which has a key: an unkeyed hash of {entity} hides nothing, for {why}"
            ));
        }
        OperatorConfig::Keep {} => Operator::Keep,
    })
}
