//! Where checks work: the repository, its program, and a folder for their files.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Folders of the repository and of its build.
pub(super) struct Environment {
    root: PathBuf,
    /// `target/debug`, where this program lies.
    profile: PathBuf,
}

impl Environment {
    pub(super) fn new() -> Result<Self, String> {
        let program = env::current_exe().map_err(|error| format!("no path to itself: {error}"))?;
        let folder = program.parent().ok_or("a program lies in a folder")?;
        // tests lie in `deps`
        let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
        let profile = profile.ok_or("a program lies in a folder of the build")?.to_owned();
        Ok(Self { root: crate::repository(), profile })
    }

    /// The repository.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder for the files of one check, under `target/`.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.profile.parent().unwrap_or(&self.profile).join("extra").join(name)
    }

    /// The program, built with the tests: by itself it would have other features, and its
    /// dependencies would be compiled again.
    pub(super) fn neuroflamingo(&self) -> Result<PathBuf, String> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["test", "--quiet", "--workspace", "--no-run"]).current_dir(&self.root);
        output(&mut build)?;
        Ok(self.profile.join("neuroflamingo"))
    }

    /// Makes the virtual environment of a requirements file, unless it is there; an error says what
    /// that would have needed.
    pub(super) fn prepare_python(&self, requirements: &str) -> Result<(), String> {
        let file = self.root.join(requirements);
        let wanted = fs::read_to_string(&file).map_err(|it| format!("{requirements} ({it})"))?;
        let venv = self.venv(requirements);
        // written last, so that a half-made environment is made anew
        let installed = venv.join("installed.txt");
        if fs::read_to_string(&installed).is_ok_and(|it| it == wanted) {
            return Ok(());
        }
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(&venv);
        output(&mut make).map_err(|it| format!("python3 with venv ({})", last_line(&it)))?;
        let mut install = Command::new(venv.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        install.args(["--only-binary", ":all:", "--retries", "1", "--timeout", "20"]);
        install.arg("--requirement").arg(&file);
        output(&mut install).map_err(|it| {
            format!("the packages of {requirements} from PyPI ({})", last_line(&it))
        })?;
        fs::write(&installed, wanted).map_err(|it| format!("{} ({it})", installed.display()))
    }

    /// A program of the virtual environment of a requirements file.
    pub(super) fn python_program(&self, requirements: &str, name: &str) -> PathBuf {
        self.venv(requirements).join("bin").join(name)
    }

    fn venv(&self, requirements: &str) -> PathBuf {
        self.folder("python").join(requirements.replace(['/', '.'], "-"))
    }
}

/// Runs a command to its end; where it fails, the error is what it wrote to stderr.
pub(super) fn output(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}\n{}", output.status, stderr.trim_end()).trim_end().to_owned())
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_gives_its_status_and_stderr() {
        let mut fails = Command::new("sh");
        fails.args(["-c", "echo one >&2; echo two >&2; exit 3"]);
        assert_eq!(output(&mut fails).unwrap_err(), "sh: exit status: 3\none\ntwo");
        assert_eq!(output(Command::new("sh").args(["-c", "true"])), Ok(()));
        let problem = output(&mut Command::new("a-command-that-is-nowhere")).unwrap_err();
        assert!(problem.starts_with("a-command-that-is-nowhere: "), "{problem}");
    }

    #[test]
    fn files_of_checks_lie_under_target() {
        let environment = Environment::new().unwrap();
        assert!(environment.root().join("Cargo.lock").is_file());
        let folder = environment.folder("notebooks");
        assert!(folder.ends_with("extra/notebooks"), "{}", folder.display());
    }
}
