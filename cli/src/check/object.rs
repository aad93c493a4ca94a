//! Objects of Kubernetes, and places within documents.

use crate::document::{Data, Node};
use serde_json::Value;

/// A place in a document: what stands there, and the path to it.
#[derive(Debug, Clone)]
pub struct At<'n> {
    /// What stands there.
    pub node: &'n Node,
    /// The path from the document's root, such as `spec.match[0].mode`; empty for the root.
    pub path: String,
}

impl<'n> At<'n> {
    /// The root of a document.
    pub fn root(node: &'n Node) -> Self {
        Self { node, path: String::new() }
    }

    /// The path of a field of this place, whether or not it is there.
    pub fn path_of(&self, key: &str) -> String {
        match (self.path.as_str(), key.contains(['.', '/'])) {
            (path, true) => format!("{path}[\"{key}\"]"),
            ("", false) => key.to_owned(),
            (path, false) => format!("{path}.{key}"),
        }
    }

    /// A field of a mapping.
    pub fn get(&self, key: &str) -> Option<Self> {
        self.node.get(key).map(|node| Self { node, path: self.path_of(key) })
    }

    /// A field of a mapping within mappings.
    pub fn at(&self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(self.clone(), |place, key| place.get(key))
    }

    /// The items of a sequence; none where this is no sequence.
    pub fn items(&self) -> impl Iterator<Item = Self> + use<'n> {
        let path = self.path.clone();
        let item = move |(index, node)| Self { node, path: format!("{path}[{index}]") };
        self.node.items().iter().enumerate().map(item)
    }

    /// The items of a field that is a sequence.
    pub fn list(&self, key: &str) -> impl Iterator<Item = Self> + use<'n> {
        self.get(key).map(|list| list.items().collect::<Vec<_>>()).unwrap_or_default().into_iter()
    }

    /// The fields of a mapping; none where this is no mapping.
    pub fn fields(&self) -> impl Iterator<Item = (&'n str, Self)> + use<'n> {
        let here = self.clone();
        let field =
            move |(name, node): &'n (String, Node)| (name.as_str(), Self { node, path: here.path_of(name) });
        self.node.fields().iter().map(field)
    }

    /// The text that stands here.
    pub fn str(&self) -> Option<&'n str> {
        self.node.as_str()
    }

    /// The text of a field.
    pub fn text(&self, key: &str) -> Option<&'n str> {
        self.node.get(key).and_then(Node::as_str)
    }

    /// The whole number that stands here.
    pub fn integer(&self) -> Option<i64> {
        match &self.node.data {
            Data::Scalar(value) => value.as_i64(),
            _ => None,
        }
    }

    /// The truth value of a field.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match &self.node.get(key)?.data {
            Data::Scalar(value) => value.as_bool(),
            _ => None,
        }
    }

    /// Whether nothing stands here: null, an empty text, list or mapping.
    pub fn is_empty(&self) -> bool {
        match &self.node.data {
            Data::Scalar(Value::Null) => true,
            Data::Scalar(Value::String(text)) => text.is_empty(),
            Data::Scalar(_) => false,
            Data::List(items) => items.is_empty(),
            Data::Map(fields) => fields.is_empty(),
        }
    }

    /// Whether null stands here.
    pub fn is_null(&self) -> bool {
        matches!(self.node.data, Data::Scalar(Value::Null))
    }

    /// A scalar as a text, as a message shows it.
    pub fn show(&self) -> String {
        match &self.node.data {
            Data::Scalar(Value::String(text)) => format!("`{text}`"),
            Data::Scalar(value) => format!("`{value}`"),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// A document that is an object of Kubernetes, an item of a `List`, or something of its own such as a bootstrap of Envoy.
#[derive(Debug, Clone)]
pub struct Object<'d> {
    /// The file as it was named.
    pub file: &'d str,
    /// Whether the file itself was named, and not only its folder.
    pub named: bool,
    /// Where it stands.
    pub at: At<'d>,
    /// `kind`, or nothing.
    pub kind: &'d str,
    /// `apiVersion`, or nothing.
    pub api_version: &'d str,
}

/// The annotation that suppresses rules on an object.
pub const IGNORE: &str = "outrigger.dev/ignore";

impl<'d> Object<'d> {
    /// The objects of a document: itself, or the items of the list that it is.
    pub fn of(file: &'d str, named: bool, node: &'d Node) -> Vec<Self> {
        let mut found = Vec::new();
        Self::collect(file, named, At::root(node), &mut found);
        found
    }

    fn collect(file: &'d str, named: bool, at: At<'d>, found: &mut Vec<Self>) {
        let text = |key| at.text(key).unwrap_or_default();
        let (kind, api_version) = (text("kind"), text("apiVersion"));
        if kind.ends_with("List") && at.get("items").is_some() {
            for item in at.list("items") {
                Self::collect(file, named, item, found);
            }
            return;
        }
        found.push(Self { file, named, at, kind, api_version });
    }

    /// The group of `apiVersion`; empty for Kubernetes's own core.
    pub fn group(&self) -> &'d str {
        self.api_version.rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// Whether it is an object of this group of Istio's: also one that forgot to say so.
    pub fn is_of(&self, group: &str, kind: &str) -> bool {
        self.kind == kind
            && (self.api_version.is_empty() || self.group().ends_with("istio.io") || self.group() == group)
    }

    /// A field of `metadata`.
    pub fn metadata(&self, key: &str) -> Option<&'d str> {
        self.at.node.at(&["metadata", key]).and_then(Node::as_str)
    }

    /// The namespace; `default` where none is given, as Kubernetes has it.
    pub fn namespace(&self) -> &'d str {
        self.metadata("namespace").filter(|name| !name.is_empty()).unwrap_or("default")
    }

    /// The rules that its annotation suppresses.
    pub fn ignored(&self) -> impl Iterator<Item = &'d str> + use<'d> {
        let annotation = self.at.node.at(&["metadata", "annotations", IGNORE]).and_then(Node::as_str);
        annotation.unwrap_or_default().split(',').map(str::trim).filter(|id| !id.is_empty())
    }

    /// The template of its pods, or itself where it is a pod.
    pub fn pod(&self) -> Option<At<'d>> {
        match (self.kind, self.group()) {
            ("Pod", "") => Some(self.at.clone()),
            ("Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet", "apps" | "extensions" | "")
            | ("Job", "batch" | "") => self.at.at(&["spec", "template"]),
            ("CronJob", "batch" | "") => self.at.at(&["spec", "jobTemplate", "spec", "template"]),
            _ => None,
        }
    }
}
