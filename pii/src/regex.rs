//! The user's own regexes, in one engine.

use crate::entity::Entity;
use regex_automata::{
    meta::{self, Regex},
    util::syntax,
};

/// Regexes in one engine.
#[derive(Debug)]
pub struct Regexes {
    regex: Regex,
    entities: Vec<Entity>,
}

/// The most memory of the compiled regexes and of the cache of their search, in bytes.
const SIZE_LIMIT: usize = 4 << 20;

impl Regexes {
    /// Compiles all patterns.
    ///
    /// # Errors
    /// The index of the first that does not compile or can be empty, or that behind the last for all of them together, and why.
    pub fn new(configs: &[(&str, Entity)]) -> Result<Self, (usize, String)> {
        let build = |patterns: &[&str]| -> Result<Regex, Box<meta::BuildError>> {
            meta::Builder::new()
                .configure(
                    meta::Config::new().nfa_size_limit(Some(SIZE_LIMIT)).hybrid_cache_capacity(SIZE_LIMIT),
                )
                .syntax(syntax::Config::new().unicode(false).utf8(false))
                .build_many(patterns)
                .map_err(Box::new)
        };
        for (index, (pattern, _)) in configs.iter().enumerate() {
            let said = |rule: String| (index, format!("must be a regex: {rule}, got {pattern:?}"));
            let regex = build(&[*pattern]);
            let regex = regex.map_err(|error| said(error.to_string()))?;
            if regex.is_match("") {
                return Err((index, format!("must not match the empty text, got {pattern:?}")));
            }
        }
        let patterns: Vec<&str> = configs.iter().map(|(pattern, _)| *pattern).collect();
        let regex = build(&patterns).map_err(|error| (configs.len(), error.to_string()))?;
        let entities = configs.iter().map(|(_, entity)| *entity).collect();
        Ok(Self { regex, entities })
    }

    /// Calls with the place and the entity of each match.
    pub fn find(&self, text: &[u8], mut note: impl FnMut(usize, usize, Entity)) {
        for found in self.regex.find_iter(text).filter(|found| !found.is_empty()) {
            if let Some(entity) = self.entities.get(found.pattern().as_usize()) {
                note(found.start(), found.end(), *entity);
            }
        }
    }
}
