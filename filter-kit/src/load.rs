//! From the bytes of a plugin configuration to a filter.

#[cfg(not(target_arch = "wasm32"))]
use crate::settings::{Asked, Recorder};
use crate::{
    ConfigError, Environment, Filter,
    settings::{Field, Node},
};
use std::cell::RefCell;

/// Reads a plugin configuration and compiles the filter.
///
/// Istio sends no bytes for an empty configuration; they mean `{}`.
///
/// # Errors
/// The first thing wrong with the configuration, with the field's path.
pub fn load<F: Filter>(configuration: &[u8], environment: &Environment<'_>) -> Result<F, ConfigError> {
    let bytes = if configuration.trim_ascii().is_empty() { b"{}" } else { configuration };
    let document = Node::parse(bytes)?;
    let refused = RefCell::default();
    let config = Field::root(&document, &refused);
    let filter = F::compile(&config, environment)?;
    config.finish(filter)
}

/// As [`load`], with what the filter asked of its configuration.
#[cfg(not(target_arch = "wasm32"))]
pub fn load_recorded<F: Filter>(
    configuration: &[u8],
    environment: &Environment<'_>,
) -> (Result<F, ConfigError>, Vec<(String, Asked)>) {
    let recorder = Recorder::default();
    let loaded = Node::parse(configuration).and_then(|document| {
        let refused = RefCell::default();
        let config = Field::recorded(&document, &refused, &recorder);
        let filter = F::compile(&config, environment)?;
        config.finish(filter)
    });
    (loaded, recorder.into_asked())
}

#[cfg(test)]
mod tests {
    use super::load;
    use crate::{Callbacks, ConfigError, Environment, Filter, metrics::Metrics, settings::Field};

    #[derive(Debug)]
    struct Sizes(Vec<Option<i64>>, Metrics);

    impl Filter for Sizes {
        const NAME: &'static str = "sizes";
        const CALLBACKS: Callbacks = Callbacks::NONE;
        type Stream = ();
        fn compile(config: &Field<'_, '_>, environment: &Environment<'_>) -> Result<Self, ConfigError> {
            config.only(&["items", "secret"]);
            let secret = config.get("secret");
            if secret.text().is_some_and(|name| environment.get(name).is_none()) {
                secret.refuse("is not set");
            }
            let items = config.get("items").items().map(|item| item.whole(0, 9)).collect();
            Ok(Self(items, Metrics::default()))
        }
        fn metrics(&self) -> &Metrics {
            &self.1
        }
    }

    #[track_caller]
    fn check(config: &str, expected: &str) {
        let environment = |name: &str| (name == "SECRET").then(|| "s".to_owned());
        let got = match load::<Sizes>(config.as_bytes(), &Environment::new(&environment)) {
            Ok(sizes) => format!("{:?}", sizes.0),
            Err(error) => error.to_string(),
        };
        assert!(got.starts_with(expected), "{config}: got {got:?}, expected {expected:?}");
    }

    #[test]
    fn a_configuration_is_read_and_compiled_or_refused_with_the_field() {
        check("", "[]");
        check(" \n", "[]");
        check(r#"{"items":[3]}"#, "[Some(3)]");
        check(r#"{"items":[3,"x"]}"#, "items[1]: invalid type: string \"x\", expected a number");
        check(r#"{"itms":[]}"#, "itms: unknown field `itms`, expected `items` or `secret`");
        check("[", "[0]: EOF while parsing a value");
        check("[]", "invalid type: a list, expected an object");
        check("\u{0}", "expected value");
        check(r#"{"secret":"SECRET"}"#, "[]");
        check(r#"{"secret":"OTHER"}"#, "secret: is not set");
    }
}
