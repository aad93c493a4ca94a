//! Secrets and personal data where they do not belong. No message here has the value.

use super::{
    container::containers,
    object::{At, Object},
    plugin::{Origin, Plugin},
    report::Report,
    rule::{Rule, rules},
};
use crate::document::{Data, Node};
use pii::{Engine, Entity, Group, Place};
use serde_json::Value;
use std::{str, sync::LazyLock};

rules! { "Secrets and personal data";
    SECRET_IN_CONFIG "secret-in-config" Error
        "a plugin's configuration is in the cluster's API, in the proxy's config dump and in version control: a secret in it is none"
        fix "name a variable of the VM's environment in the configuration, and give it with `valueFrom: HOST` from a Secret"
        "https://cheatsheetseries.owasp.org/cheatsheets/Secrets_Management_Cheat_Sheet.html";
    SECRET_LITERAL "secret-literal" Warning
        "a secret in a manifest is read by everybody who may read the manifest, and it stays in version control"
        fix "write `valueFrom: { secretKeyRef: ... }` (in a plugin: `valueFrom: HOST`)"
        "https://kubernetes.io/docs/concepts/configuration/secret/";
    PERSONAL_DATA "personal-data" Error
        "names, labels, annotations and variables end in logs, metrics and traces, where nobody takes personal data out again"
        fix "write an id that only your own systems can resolve"
        "https://cheatsheetseries.owasp.org/cheatsheets/Logging_Cheat_Sheet.html#data-to-exclude";
}

static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::default);

/// The first entity of a text that counts here.
fn find(text: &str, key: Option<&str>, counts: fn(Entity, &str) -> bool) -> Option<Entity> {
    let place = key.map_or(Place::Text, |key| Place::Field(key.as_bytes()));
    let found = ENGINE.find(text.as_bytes(), place);
    let mut spans = found.spans().iter();
    spans
        .find(|span| counts(span.entity, text.get(span.start..span.end).unwrap_or(text)))
        .map(|span| span.entity)
}

/// Whether an entity lets its holder in, by its shape.
fn is_token(entity: Entity) -> bool {
    matches!(entity, Entity::PrivateKey | Entity::Jwt | Entity::ApiToken | Entity::UrlCredentials)
}

/// Whether a value that stands under a secret's name can be one.
fn is_plausible(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'', ' ']);
    let is_reference = value.starts_with("$(")
        || value.starts_with("${")
        || value.starts_with("{{")
        || value.starts_with('/');
    let words = [
        "true", "false", "yes", "no", "none", "null", "on", "off", "enabled", "disabled", "required",
        "optional",
    ];
    let is_word = words.contains(&value.to_ascii_lowercase().as_str());
    // The name of an entity says what to look for, and a whole number how long something lasts.
    let is_setting = Entity::from_id(value).is_some()
        || value.len() < 6 && value.bytes().all(|byte| byte.is_ascii_digit());
    !value.is_empty() && !is_reference && !is_word && !is_setting
}

fn is_secret(entity: Entity, value: &str) -> bool {
    is_token(entity) || matches!(entity, Entity::Password | Entity::Secret) && is_plausible(value)
}

fn is_password(entity: Entity, value: &str) -> bool {
    is_token(entity) || entity == Entity::Password && is_plausible(value)
}

/// Whether an entity is a person's, and the value not one that only looks like it.
fn is_personal(entity: Entity, value: &str) -> bool {
    match entity {
        Entity::Email => {
            let (local, domain) = value.split_once('@').unwrap_or_default();
            // A user of git over SSH, and the accounts of services in Google's cloud.
            local != "git" && !domain.ends_with("gserviceaccount.com")
        }
        Entity::CardSecurityCode
        | Entity::BankAccount
        | Entity::NationalId
        | Entity::Passport
        | Entity::DrivingLicence
        | Entity::DateOfBirth => true,
        other => matches!(other.group(), Group::Contact | Group::Payment | Group::Identity),
    }
}

/// Checks the configuration of a plugin.
pub fn check_plugin(object: &Object<'_>, plugin: &Plugin<'_>, report: &mut Report) {
    if let Some(config) = plugin.config() {
        walk(&config, "", "", &mut |path, entity| {
            let (line, field) = plugin.place(path);
            let message = format!("holds a secret ({}) in plain text", entity.id());
            report.add_to(object, &SECRET_IN_CONFIG, line, &field, message);
        });
    }
    if plugin.origin == Origin::Istio {
        for variable in plugin.at.get("vmConfig").iter().flat_map(|config| config.list("env")) {
            literal(object, &variable, report);
        }
    }
}

/// Tells of each secret within a configuration, with its path.
fn walk(node: &Node, path: &str, key: &str, tell: &mut dyn FnMut(&str, Entity)) {
    match &node.data {
        Data::Scalar(Value::String(text)) => {
            let key = (!key.is_empty()).then_some(key);
            let found = find(text, key, is_password).or_else(|| find(text, None, is_password));
            if let Some(entity) = found {
                tell(path, entity);
            }
        }
        Data::Scalar(_) => {}
        Data::List(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{index}]"), key, tell);
            }
        }
        Data::Map(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(field, &path, name, tell);
            }
        }
    }
}

/// Checks a variable that has a value of its own.
fn literal(object: &Object<'_>, variable: &At<'_>, report: &mut Report) {
    let Some(value) = variable.get("value") else { return };
    let (name, Some(text)) = (variable.text("name").unwrap_or_default(), value.str()) else { return };
    if let Some(entity) = find(text, Some(name), is_secret) {
        let message = format!("`{name}` is a literal that holds a secret ({})", entity.id());
        return report.add(object, &SECRET_LITERAL, &value, message);
    }
    personal(object, &value, Some(name), &format!("the value of `{name}`"), report);
}

fn personal(object: &Object<'_>, at: &At<'_>, key: Option<&str>, what: &str, report: &mut Report) {
    let text = match &at.node.data {
        Data::Scalar(Value::String(text)) => text.clone(),
        Data::Scalar(Value::Number(number)) => number.to_string(),
        _ => return,
    };
    if let Some(entity) = find(&text, key, is_personal) {
        report.add(object, &PERSONAL_DATA, at, format!("{what} holds personal data ({})", entity.id()));
    }
}

/// Checks the metadata of an object, and the variables and arguments of its containers.
pub fn check(object: &Object<'_>, report: &mut Report) {
    if object.kind.is_empty() {
        return;
    }
    metadata(object, &object.at, report);
    let Some(pod) = object.pod() else { return };
    if object.kind != "Pod" {
        metadata(object, &pod, report);
    }
    for (container, _) in containers(&pod) {
        for variable in container.list("env") {
            literal(object, &variable, report);
        }
        for argument in ["command", "args"].into_iter().flat_map(|list| container.list(list)) {
            let Some(text) = argument.str() else { continue };
            if let Some(entity) = find(text, None, is_secret_in_text) {
                let message = format!("an argument holds a secret ({})", entity.id());
                report.add(object, &SECRET_LITERAL, &argument, message);
            }
        }
    }
}

/// In an argument, a name before `=` is often an option and seldom a secret's; what counts is the shape, or a password.
fn is_secret_in_text(entity: Entity, value: &str) -> bool {
    is_password(entity, value)
}

fn metadata(object: &Object<'_>, at: &At<'_>, report: &mut Report) {
    let Some(metadata) = at.get("metadata") else { return };
    for name in ["name", "namespace", "generateName"] {
        if let Some(value) = metadata.get(name) {
            personal(object, &value, None, name, report);
        }
    }
    for (map, what) in [("labels", "a label"), ("annotations", "an annotation")] {
        for (name, value) in metadata.get(map).iter().flat_map(At::fields) {
            // The key's own domain says nothing of the value.
            let key = name.rsplit('/').next().unwrap_or(name);
            // A key may hold what its value must not.
            if let Some(entity) = find(name, None, is_personal) {
                let place = At { node: value.node, path: metadata.path_of(map) };
                report.add(
                    object,
                    &PERSONAL_DATA,
                    &place,
                    format!("{what}'s key holds personal data ({})", entity.id()),
                );
                continue;
            }
            if token(object, &value, what, &SECRET_LITERAL, report) {
                continue;
            }
            personal(object, &value, Some(key), &format!("{what}, `{name}`,"), report);
        }
    }
}

/// Tells of a token in a text, by its shape alone.
fn token(object: &Object<'_>, at: &At<'_>, what: &str, rule: &'static Rule, report: &mut Report) -> bool {
    let found = at.str().and_then(|text| find(text, None, |entity, _| is_token(entity)));
    if let Some(entity) = found {
        report.add(object, rule, at, format!("{what} holds a secret ({})", entity.id()));
    }
    found.is_some()
}
