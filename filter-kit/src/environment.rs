//! The environment of the VM.

/// The variables of the VM's environment, which an operator sets beside the plugin's configuration: `vm_config.environment_variables` in
/// Envoy, `vmConfig.env` in Istio. A filter reads them through this alone, and only when it is compiled.
#[derive(Clone, Copy)]
pub struct Environment<'e>(&'e dyn Fn(&str) -> Option<String>);

impl<'e> Environment<'e> {
    /// No variables.
    pub const EMPTY: Environment<'static> = Environment(&|_| None);

    /// The variables that `read` finds by their names.
    pub fn new(read: &'e dyn Fn(&str) -> Option<String>) -> Self {
        Self(read)
    }

    /// The value of a variable, if it is set and UTF-8.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }
}
