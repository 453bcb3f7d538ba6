//! Finds the configuration, reads what it needs of the world, and lets the engine make a plan of it.

use clap::Args as Arguments;
use engine::{
    config::{self, Note, Overrides, Problem, Source, World},
    limits::CONFIG_MAX,
    plan::Plan,
};
use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// The configuration file that is taken when none is named.
const DEFAULT_FILE: &str = "sekisho.yaml";
/// The file of environment variables that is taken when none is named.
const DEFAULT_ENV_FILE: &str = ".env";
/// Largest file of keys or of variables, in bytes.
pub(crate) const SMALL_FILE_MAX: usize = 1 << 20;

/// What the command line says of the configuration.
#[derive(Arguments, Clone, Debug, Default)]
pub(crate) struct Args {
    /// Configuration file; without it `sekisho.yaml`, if it is there, else the environment alone
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where to serve clients: an address with a port, or a port of the loopback
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) listen: Option<String>,

    /// File of environment variables; without it `.env`, if it is there. The environment wins
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,

    /// Serve everybody, even beyond the loopback and without client keys
    #[arg(long, global = true)]
    pub(crate) allow_open: bool,
}

/// A plan, and where it came from.
pub(crate) struct Loaded {
    pub(crate) plan: Plan,
    pub(crate) notes: Vec<Note>,
    /// The configuration file, if there is one.
    pub(crate) file: Option<PathBuf>,
}

/// Loads the configuration. May be called again at any time: nothing of the process is changed.
///
/// # Errors
/// Every problem there is.
pub(crate) fn load(args: &Args) -> Result<Loaded, Vec<Problem>> {
    let variables = Variables::read(args.env_file.as_deref()).map_err(|problem| vec![problem])?;
    let file = args.config.clone().or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
    let name = file.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let text = match &file {
        Some(path) => read(path, CONFIG_MAX).map_err(|why| vec![unreadable(&name, &why)])?,
        None => Vec::new(),
    };
    let folder = file.as_ref().and_then(|path| path.parent()).map(Path::to_path_buf).unwrap_or_default();
    let world = World {
        env: &|name| variables.get(name),
        read_file: &|path| {
            let bytes = read(&folder.join(path), SMALL_FILE_MAX)?;
            String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
        },
    };
    let source = file.as_ref().map(|_| Source { name: &name, text: &text });
    let overrides = Overrides { listen: args.listen.clone(), allow_open: args.allow_open };
    let (plan, notes) = config::load(source, &world, &overrides)?;
    Ok(Loaded { plan, notes, file })
}

/// The variables of the environment, and behind them those of a file.
pub(crate) struct Variables {
    of_file: HashMap<String, String>,
}

impl Variables {
    /// Reads the file: the one that is named, which must be there, or the one that may be.
    ///
    /// # Errors
    /// A problem, where the file cannot be read.
    pub(crate) fn read(named: Option<&Path>) -> Result<Variables, Problem> {
        let path = named.unwrap_or(Path::new(DEFAULT_ENV_FILE));
        let name = path.display().to_string();
        if named.is_none() && !path.exists() {
            return Ok(Variables { of_file: HashMap::new() });
        }
        let text = read(path, SMALL_FILE_MAX).map_err(|why| unreadable(&name, &why))?;
        let mut of_file = HashMap::new();
        for entry in dotenvy::from_read_iter(text.as_slice()) {
            let (variable, value) = entry.map_err(|error| bad_line(&name, &text, &error))?;
            of_file.entry(variable).or_insert(value);
        }
        Ok(Variables { of_file })
    }

    /// The value of a variable, if it is set.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let own = std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        own.or_else(|| self.of_file.get(name).cloned())
    }
}

/// The library's own message prints the line, or what of it comes behind the name, which may be a secret.
fn bad_line(file: &str, text: &[u8], error: &dotenvy::Error) -> Problem {
    let line = match error {
        dotenvy::Error::LineParse(wrong, _) => String::from_utf8_lossy(text)
            .lines()
            .position(|line| !wrong.trim().is_empty() && line.contains(wrong.trim()))
            .map_or(0, |index| index + 1),
        _ => 0,
    };
    Problem {
        file: file.to_owned(),
        line,
        column: usize::from(line > 0),
        message: "this is not a line of the form `NAME=value`".to_owned(),
        hint: Some("a value with blanks or a `#` needs quotation marks".to_owned()),
        excerpt: None,
    }
}

fn unreadable(file: &str, why: &str) -> Problem {
    let message = format!("this file cannot be read: {why}");
    Problem { file: file.to_owned(), message, ..Problem::default() }
}

/// Reads a file, and no more than one byte beyond `max`: who checks the size will see that it is too large.
pub(crate) fn read(path: &Path, max: usize) -> Result<Vec<u8>, String> {
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| why(&error))?;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| why(&error))?;
    Ok(bytes)
}

/// The reason of an error, in our words and without a number.
fn why(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "it is not there".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        kind => kind.to_string(),
    }
}
