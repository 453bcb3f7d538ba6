//! The scripted provider as a program of its own, for tests in other languages: prints its address on
//! stdout, then serves until it is ended.

use std::{
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
};
use testkit::provider::{KNOBS, Provider, Settings};

fn main() -> ExitCode {
    match settings(std::env::args().skip(1)).map_err(io::Error::other).and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "testkit-provider: {error}");
            ExitCode::from(2)
        }
    }
}

fn serve(settings: Option<Settings>) -> io::Result<()> {
    let Some(settings) = settings else { return help() };
    let provider = Provider::start_with(settings)?;
    writeln!(io::stdout(), "{}", provider.addr())?;
    provider.join();
    Ok(())
}

/// `None` when help is wanted.
fn settings(mut arguments: impl Iterator<Item = String>) -> Result<Option<Settings>, String> {
    let mut settings = Settings { record: false, ..Settings::default() };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--listen" => {
                let address = value()?;
                settings.listen = address
                    .parse::<SocketAddr>()
                    .map_err(|_| format!("`{address}` is not an address and port"))?;
            }
            "--script" => settings.script.apply(&value()?),
            "--help" => return Ok(None),
            _ => {
                return Err(format!(
                    "unknown argument `{argument}`; known are `--listen`, `--script`, `--help`"
                ));
            }
        }
    }
    match settings.script.mistake.take() {
        Some(mistake) => Err(mistake),
        None => Ok(Some(settings)),
    }
}

fn help() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "testkit-provider [--listen ADDRESS:PORT] [--script 'KNOB=VALUE …']\n")?;
    writeln!(
        out,
        "A request brings its own script in `x-kit: …` or in `[[kit …]]` in its last user text.\n"
    )?;
    for (name, meaning, _) in KNOBS {
        writeln!(out, "  {name:<13} {meaning}")?;
    }
    Ok(())
}
