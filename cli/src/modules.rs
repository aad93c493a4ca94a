//! Where the filters' modules are.

use harness::LoadError;
use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
};

/// The folder of built modules.
#[derive(Debug, Clone)]
pub struct Dist(PathBuf);

/// Why there is no module to run.
#[derive(Debug)]
pub enum ModuleError {
    /// The folder has no module of this name.
    Missing {
        /// The filter's name.
        filter: String,
        /// The folder.
        dist: PathBuf,
    },
    /// The file is there and cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file is no module that a host can run.
    Unloadable(PathBuf, String),
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { filter, dist } => {
                let dist = dist.display();
                write!(
                    f,
                    "no module {filter}.wasm in {dist}: run `cargo xtask build`, or name its folder with --dist"
                )
            }
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Unloadable(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ModuleError {}

impl Dist {
    /// The folder that was named, or `$OUTRIGGER_DIST`, or `dist`.
    pub fn find(named: Option<&Path>) -> Self {
        let from_environment = || env::var_os("OUTRIGGER_DIST").map(PathBuf::from);
        Self(named.map(Path::to_path_buf).or_else(from_environment).unwrap_or_else(|| PathBuf::from("dist")))
    }

    /// The names of the modules in the folder, sorted; none if there is no folder.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let path = entry.path();
            let is_module = path.extension().is_some_and(|extension| extension == "wasm");
            if is_module { path.file_stem()?.to_str().map(str::to_owned) } else { None }
        });
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// Loads a filter by its name, or by the path of its module.
    ///
    /// # Errors
    /// There is no such module, or it is none that a host can run.
    pub fn load(&self, filter: &str) -> Result<harness::Module, ModuleError> {
        harness::Module::open(self.path(filter)).map_err(|error| match error {
            LoadError::Io(path, error) => self.unreadable(filter, path, error),
            error => ModuleError::Unloadable(self.path(filter), error.to_string()),
        })
    }

    /// The bytes of a filter's module, by its name or by its path.
    ///
    /// # Errors
    /// There is no such module.
    pub fn read(&self, filter: &str) -> Result<Vec<u8>, ModuleError> {
        let path = self.path(filter);
        fs::read(&path).map_err(|error| self.unreadable(filter, path, error))
    }

    fn unreadable(&self, filter: &str, path: PathBuf, error: io::Error) -> ModuleError {
        if error.kind() != io::ErrorKind::NotFound {
            return ModuleError::Unreadable(path, error);
        }
        let filter = filter.trim_end_matches(".wasm").to_owned();
        ModuleError::Missing { filter, dist: self.0.clone() }
    }

    /// Whether a filter is named by the path of its module.
    pub fn is_path(filter: &str) -> bool {
        Path::new(filter).extension().is_some_and(|extension| extension == "wasm")
    }

    fn path(&self, filter: &str) -> PathBuf {
        if Self::is_path(filter) { PathBuf::from(filter) } else { self.0.join(format!("{filter}.wasm")) }
    }
}

/// Loads a module from a file.
///
/// # Errors
/// The file cannot be read, or is no module that a host can run.
pub fn load(path: &Path) -> Result<harness::Module, ModuleError> {
    harness::Module::open(path).map_err(|error| match error {
        LoadError::Io(path, error) => ModuleError::Unreadable(path, error),
        error => ModuleError::Unloadable(path.to_path_buf(), error.to_string()),
    })
}
