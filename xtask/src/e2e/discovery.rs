//! A plugin whose configuration Envoy gets from a file, by ECDS, as Istio's come from its control plane.

use crate::bootstrap::Bootstrap;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// The file, and what is in it.
pub struct Discovery {
    plugin: String,
    path: PathBuf,
    filter: Value,
    version: AtomicU64,
}

impl Discovery {
    /// Takes a plugin out of a bootstrap's first listener into `folder/plugin.json`, and lets Envoy look for it there.
    ///
    /// # Errors
    /// The bootstrap has no such plugin, or the file cannot be written.
    pub fn take_out(bootstrap: &mut Bootstrap, plugin: &str, folder: &Path) -> Result<Self> {
        let path = folder.join("plugin.json");
        let manager = &mut bootstrap.0["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
            ["typed_config"];
        let filters = manager["http_filters"].as_array_mut().context("the bootstrap has no filters")?;
        let place = filters.iter().position(|filter| filter["name"] == plugin).context("no such plugin")?;
        let filter = filters[place]["typed_config"].take();
        filters[place] = json!({"name": plugin, "config_discovery": {
            "config_source": {"path_config_source": {"path": path}, "resource_api_version": "V3"},
            "type_urls": [filter["@type"]]
        }});
        // What comes from elsewhere than the bootstrap is asked for by a node with a name.
        bootstrap.0["node"] = json!({"id": "node", "cluster": "outrigger"});
        let discovery = Self { plugin: plugin.to_owned(), path, filter, version: AtomicU64::new(0) };
        discovery.write(&discovery.filter)?;
        Ok(discovery)
    }

    /// The plugin's filter as it was in the bootstrap.
    pub fn filter(&self) -> &Value {
        &self.filter
    }

    /// The plugin's filter with another configuration.
    pub fn with(&self, config: &str) -> Value {
        let mut filter = self.filter.clone();
        filter["config"]["configuration"]["value"] = json!(config);
        filter
    }

    /// Pushes a filter.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, filter: &Value) -> Result<()> {
        let version = self.version.fetch_add(1, Ordering::Relaxed) + 1;
        let response = json!({"version_info": version.to_string(), "resources": [{
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": self.plugin,
            "typed_config": filter
        }]});
        self.write_text(&serde_json::to_vec(&response)?)
    }

    /// Pushes any bytes. The file is replaced at once, as Envoy wants it: it watches for a move.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_text(&self, text: &[u8]) -> Result<()> {
        let new = self.path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(&new, &self.path).with_context(|| format!("cannot write {}", self.path.display()))
    }
}
