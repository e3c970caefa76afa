use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use shop_core::config::{Changed, Edited, Editor, Loader, Violation};

use super::{Failure, Outcome};
use crate::config::{CommonFlags, ShopConfig};
use crate::servers::IN_PROCESS;

/// The servers, by the names of their layers.
const SERVICES: [&str; 4] = ["gateway", "orders", "products", "shop"];

/// Show and change the configuration, with what is common in etcd.
#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Every value in effect, and where it comes from.
    Explain(Reading),
    /// The values in effect below a key.
    Get {
        /// Such as log.level, or orders.
        key: String,
        #[command(flatten)]
        reading: Reading,
    },
    /// What etcd makes otherwise than the files do.
    Diff(Reading),
    /// Whether the configuration of every server is good.
    Check {
        #[command(flatten)]
        files: Files,
    },
    /// Write keys to etcd, all or none, if every server that reads them would take them.
    Set {
        /// Such as log.level=debug.
        #[arg(required = true, value_name = "KEY=VALUE")]
        values: Vec<Assignment>,
        #[command(flatten)]
        writing: Writing,
    },
    /// Make a layer of etcd what a TOML file says, whole, if every server that reads it would take it.
    Apply {
        /// What it does not have is deleted.
        file: PathBuf,
        #[command(flatten)]
        writing: Writing,
        /// Say what would be written and deleted, and write nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// What was changed in etcd, as far as it remembers.
    History {
        /// The most changes, the last ones.
        #[arg(long, default_value_t = 20)]
        last: usize,
        #[command(flatten)]
        reading: Reading,
    },
    /// Make everything in etcd what it was at a revision, as a new change, if every server would take it.
    Rollback {
        /// As history tells it.
        revision: i64,
        #[command(flatten)]
        files: Files,
        /// Say what would be written and deleted, and write nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete keys from etcd, all or none, if every server that reads them can do without.
    Unset {
        /// Such as log.level.
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
        #[command(flatten)]
        writing: Writing,
    },
}

#[derive(Debug, Args)]
struct Files {
    /// A TOML file of the servers; may be given several times, later ones over earlier ones.
    #[arg(long = "config", value_name = "FILE")]
    config: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Reading {
    #[command(flatten)]
    files: Files,
    /// Whose configuration.
    #[arg(long, value_enum, default_value = "shop")]
    service: Service,
}

#[derive(Debug, Args)]
struct Writing {
    #[command(flatten)]
    files: Files,
    /// The layer of one server, over the common one.
    #[arg(long, value_enum)]
    service: Option<Service>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Service {
    Gateway,
    Orders,
    Products,
    Shop,
}

impl Service {
    fn name(self) -> &'static str {
        SERVICES[self as usize]
    }
}

/// `KEY=VALUE`
#[derive(Debug, Clone)]
struct Assignment(String, String);

impl std::str::FromStr for Assignment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
        Ok(Self(key.to_owned(), value.to_owned()))
    }
}

impl Files {
    /// The layers of a server, but for its flags.
    fn loader(&self) -> Loader {
        CommonFlags { config: self.config.clone(), admin_listen: None, check: false }.loader("")
    }

    fn editor(&self) -> Result<Editor<ShopConfig>, Failure> {
        self.loader().editor(&SERVICES, check)?.ok_or_else(|| {
            Failure("there is no [etcd] section: give --config FILE, or SHOP__ETCD__ENDPOINTS".into())
        })
    }
}

impl Writing {
    fn layer(&self) -> &'static str {
        self.service.map_or("common", Service::name)
    }
}

fn check(service: &str, config: &ShopConfig) -> Vec<Violation> {
    config.violations(if service == "shop" { IN_PROCESS } else { &[] })
}

impl Config {
    /// Does it.
    ///
    /// # Errors
    /// A bad configuration, or etcd cannot be read.
    pub async fn run(self) -> Outcome {
        match self.action {
            Action::Explain(reading) => show(&reading, "").await,
            Action::Get { key, reading } => show(&reading, &key).await,
            Action::Diff(reading) => diff(&reading).await,
            Action::Check { files } => check_all(&files).await,
            Action::Set { values, writing } => {
                write(&writing, values.into_iter().map(|Assignment(key, value)| (key, Some(value)))).await
            }
            Action::Apply { file, writing, dry_run } => {
                let name = file.display().to_string();
                let text = std::fs::read_to_string(&file)
                    .map_err(|error| Failure(format!("{name} cannot be read: {error}")))?;
                let editor = writing.files.editor()?;
                tell(&editor.apply(writing.layer(), &name, &text, !dry_run).await?)
            }
            Action::History { last, reading } => history(&reading, last).await,
            Action::Rollback { revision, files, dry_run } => {
                tell(&files.editor()?.rollback(revision, !dry_run).await?)
            }
            Action::Unset { keys, writing } => write(&writing, keys.into_iter().map(|key| (key, None))).await,
        }
    }
}

async fn show(reading: &Reading, key: &str) -> Outcome {
    let name = reading.service.name();
    let (live, _) = reading.files.loader().live(name, move |config| check(name, config)).await?;
    warn_of_snapshot(&live.status());
    let below = |path: &str| {
        key.is_empty() || path == key || path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
    };
    let found = live.current().explain()?.0;
    let found: Vec<_> = found.into_iter().filter(|explained| below(&explained.path)).collect();
    if found.is_empty() {
        return Err(Failure(format!("there is no key {key}")));
    }
    for explained in found {
        println!("{} = {}  # {}", explained.path, explained.value, explained.origin);
    }
    Ok(true)
}

async fn diff(reading: &Reading) -> Outcome {
    let name = reading.service.name();
    let (live, _) = reading.files.loader().live(name, move |config| check(name, config)).await?;
    warn_of_snapshot(&live.status());
    let files = reading.files.loader().load_checked(|config| check(name, config))?;
    for changed in files.difference(&live.current())? {
        let (before, after) = (shown(&changed.before), shown(&changed.after));
        println!("{}: {before} -> {after}  # {}", changed.path, changed.origin);
    }
    Ok(true)
}

fn warn_of_snapshot(status: &shop_core::config::Status) {
    if let (true, Some(reason)) = (status.from_snapshot, &status.refused) {
        eprintln!("shop: this is of the snapshot, not of etcd: {reason}");
    }
}

async fn check_all(files: &Files) -> Outcome {
    let mut good = true;
    for name in SERVICES {
        let read = files.loader().live(name, move |config| check(name, config)).await;
        // A start would be from the snapshot, but that is not what is asked.
        let fault = match read {
            Ok((live, _)) => live.status().refused,
            Err(error) => Some(shop_core::chain(&error)),
        };
        match fault {
            None => println!("{name}: the configuration is good"),
            Some(fault) => {
                good = false;
                eprintln!("{name}: {fault}");
            }
        }
    }
    Ok(good)
}

async fn write(writing: &Writing, values: impl Iterator<Item = (String, Option<String>)>) -> Outcome {
    tell(&writing.files.editor()?.set(writing.layer(), &values.collect::<Vec<_>>()).await?)
}

/// Keys alone: values may be secrets.
fn tell(edited: &Edited) -> Outcome {
    for key in &edited.written {
        println!("put {key}");
    }
    for key in &edited.deleted {
        println!("delete {key}");
    }
    match edited.revision {
        Some(revision) => println!("written at revision {revision}"),
        None if edited.written.is_empty() && edited.deleted.is_empty() => println!("nothing differs"),
        None => println!("nothing is written: this was a trial"),
    }
    Ok(true)
}

async fn history(reading: &Reading, last: usize) -> Outcome {
    let history = reading.files.editor()?.history(reading.service.name(), last).await?;
    if history.since > 0 {
        println!("before revision {}: compacted", history.since);
    }
    for past in history.changes {
        println!("revision {}: {}", past.revision, past.keys.join(" "));
        match past.changed {
            Ok(changed) => changed.iter().for_each(show_change),
            Err(errors) => println!("  bad: {}", errors.to_string().replace('\n', "\n  ")),
        }
    }
    Ok(true)
}

/// A value that may be none.
fn shown(value: &Option<serde_json::Value>) -> String {
    value.as_ref().map_or_else(|| "-".into(), ToString::to_string)
}

fn show_change(changed: &Changed) {
    println!("  {}: {} -> {}", changed.path, shown(&changed.before), shown(&changed.after));
}
