//! What a check may need, and whether it is there.

use std::{env, path::Path};

use super::environment::Environment;

/// Something that a machine with Rust may lack.
pub(super) enum Need {
    /// A command on the PATH.
    Command(&'static str),
    /// Commands of a package, by its name in Debian, on the PATH or among the daemons.
    Package(&'static str, &'static [&'static str]),
    /// A python3 with the packages of this requirements file, a path in the repository. They are
    /// installed from PyPI into a virtual environment under `target/`.
    Python(&'static str),
}

impl Need {
    /// What is missing, in the words of a list of requirements; nothing where the need is met.
    pub(super) fn missing(&self, environment: &Environment) -> Option<String> {
        match self {
            Self::Command(name) => (!on_path(name)).then(|| (*name).to_owned()),
            Self::Package(name, commands) => {
                let is_there = |command: &&str| {
                    on_path(command) || is_program(&Path::new("/usr/sbin").join(command))
                };
                (!commands.iter().all(is_there)).then(|| (*name).to_owned())
            }
            Self::Python(requirements) => environment.prepare_python(requirements).err(),
        }
    }
}

fn on_path(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| is_program(&folder.join(name)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_looked_up_on_the_path() {
        assert!(on_path("sh"));
        assert!(!on_path("a-command-that-is-nowhere"));
        // a folder is no command
        assert!(!is_program(Path::new("/")));
    }

    #[test]
    fn a_package_is_named_where_a_command_of_it_is_missing() {
        let environment = Environment::new().unwrap();
        assert_eq!(Need::Package("dash", &["sh"]).missing(&environment), None);
        let missing = Need::Package("slurm-wlm", &["sh", "a-command-that-is-nowhere"]);
        assert_eq!(missing.missing(&environment).as_deref(), Some("slurm-wlm"));
    }

    #[test]
    fn a_python_need_without_its_requirements_file_names_it() {
        let environment = Environment::new().unwrap();
        let missing = Need::Python("notebooks/nowhere.txt").missing(&environment).unwrap();
        assert!(missing.starts_with("notebooks/nowhere.txt"), "{missing}");
    }
}
