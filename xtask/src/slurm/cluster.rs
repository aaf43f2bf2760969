//! Slurm on this machine alone: an authentication service, a controller and one node, over loopback.

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

/// What Debian's packages `slurm-wlm` and `munge` install.
const PROGRAMS: [&str; 7] =
    ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel"];

/// Daemons that end with the value.
pub(super) struct Cluster {
    folder: PathBuf,
    daemons: Vec<Child>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            // the node first, so that no job outlives it
            let _ =
                Command::new("sh").args(["-c", &format!("kill -s TERM {}", daemon.id())]).status();
            let begun = Instant::now();
            while daemon.try_wait().is_ok_and(|ended| ended.is_none()) {
                if begun.elapsed() > Duration::from_secs(10) {
                    let _ = daemon.kill();
                    let _ = daemon.wait();
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

impl Cluster {
    /// Starts it with its files in `folder`, and waits until its node is idle.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        for program in PROGRAMS {
            ensure!(path_of(program).is_some(), "{program}: not found, needs slurm-wlm");
        }
        let mut private = fs::DirBuilder::new();
        private.mode(0o700);
        for name in ["munge", "state", "spool"] {
            private.create(folder.join(name))?;
        }
        let mut cluster = Self { folder: folder.to_owned(), daemons: Vec::new() };
        cluster.write_key()?;
        fs::write(cluster.config(), configuration(folder)?)?;
        let file = |name: &str| folder.join("munge").join(name).display().to_string();
        let socket = folder.join("socket").display().to_string();
        let (key, log, pid, seed) = (file("key"), file("log"), file("pid"), file("seed"));
        cluster.daemon(
            "munged",
            &[
                "--foreground",
                "--force",
                &format!("--socket={socket}"),
                &format!("--key-file={key}"),
                &format!("--log-file={log}"),
                &format!("--pid-file={pid}"),
                &format!("--seed-file={seed}"),
            ],
        )?;
        cluster.wait("munged", || Ok(Path::new(&socket).exists()))?;
        cluster.daemon("slurmctld", &["-D", "-c"])?;
        cluster.daemon("slurmd", &["-D"])?;
        cluster.wait("the node", || {
            let said = cluster.command("sinfo").args(["-h", "-o", "%t"]).output()?;
            Ok(String::from_utf8_lossy(&said.stdout).trim() == "idle")
        })?;
        Ok(cluster)
    }

    /// A command of Slurm, or of a program that calls some.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(path_of(program).unwrap_or_else(|| program.into()));
        command.env("SLURM_CONF", self.config());
        command
    }

    /// What a command of Slurm says.
    pub(super) fn says(&self, program: &str, words: &[&str]) -> Result<String> {
        let output = self.command(program).args(words).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {}: {stderr}", words.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until `is` holds, for two minutes at most.
    pub(super) fn wait(&self, what: &str, mut is: impl FnMut() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !is()? {
            if begun.elapsed() > Duration::from_mins(2) {
                let log =
                    |name: &str| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
                bail!("waited in vain for {what}\n{}\n{}", log("slurmctld.log"), log("slurmd.log"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn config(&self) -> PathBuf {
        self.folder.join("slurm.conf")
    }

    fn daemon(&mut self, program: &str, words: &[&str]) -> Result<()> {
        let log = fs::File::create(self.folder.join(format!("{program}.out")))?;
        let mut command = self.command(program);
        command.args(words).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.daemons.push(command.spawn().with_context(|| format!("{program} cannot be started"))?);
        Ok(())
    }

    fn write_key(&self) -> Result<()> {
        use std::io::Write as _;
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600);
        let mut file = file.open(self.folder.join("munge/key"))?;
        // it guards nothing: the daemons listen to this machine for a minute
        Ok(file.write_all(&[b'k'; 64])?)
    }
}

/// The program on the PATH or where daemons lie.
fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// `slurm.conf` of one node; a job that is requeued starts again after seconds.
fn configuration(folder: &Path) -> Result<String> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned();
    let user = Command::new("id").arg("-un").output()?.stdout;
    let user = String::from_utf8_lossy(&user).trim().to_owned();
    let port = || Ok::<_, std::io::Error>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
    let cores = thread::available_parallelism()?.get().min(2);
    let at = |name: &str| folder.join(name).display().to_string();
    let (control, node, auth) = (port()?, port()?, at("socket"));
    let settings = [
        ("ClusterName", "loopback".to_owned()),
        ("SlurmctldHost", format!("{host}(127.0.0.1)")),
        ("SlurmUser", user.clone()),
        ("SlurmdUser", user),
        ("AuthType", "auth/munge".to_owned()),
        ("AuthInfo", format!("socket={auth},cred_expire=5")),
        ("SlurmctldPort", control.to_string()),
        ("SlurmdPort", node.to_string()),
        ("StateSaveLocation", at("state")),
        ("SlurmdSpoolDir", at("spool")),
        ("SlurmctldPidFile", at("slurmctld.pid")),
        ("SlurmdPidFile", at("slurmd.pid")),
        ("SlurmctldLogFile", at("slurmctld.log")),
        ("SlurmdLogFile", at("slurmd.log")),
        ("ProctrackType", "proctrack/linuxproc".to_owned()),
        ("TaskPlugin", "task/none".to_owned()),
        ("JobAcctGatherType", "jobacct_gather/none".to_owned()),
        ("AccountingStorageType", "accounting_storage/none".to_owned()),
        ("SelectType", "select/cons_tres".to_owned()),
        ("SelectTypeParameters", "CR_Core".to_owned()),
        ("MpiDefault", "none".to_owned()),
        ("ReturnToService", "2".to_owned()),
        ("SchedulerParameters", "batch_sched_delay=0,sched_interval=1,bf_interval=1".to_owned()),
        ("KillWait", "5".to_owned()),
    ];
    let mut text = String::new();
    for (key, value) in settings {
        writeln!(text, "{key}={value}")?;
    }
    writeln!(text, "NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN")?;
    writeln!(text, "PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP")?;
    Ok(text)
}
