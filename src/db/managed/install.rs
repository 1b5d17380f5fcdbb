//! Choosing which of the installed PostgreSQL binaries to run.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ManagedError;
use super::launch::Launcher;
use super::options::ManagedOptions;

/// The oldest major version that Packhouse's queries support.
const MINIMUM: u32 = 13;

/// Directories with one subdirectory per version, and the path of the binaries below it.
const VERSIONED: [(&str, &str); 3] = [("/usr/lib/postgresql", "bin"), ("/usr", "bin"), ("/usr/libexec", "")];

/// Binaries of one major version.
#[derive(Debug, Clone)]
pub struct Install {
    /// The directory of `postgres`, `initdb`, `pg_dump`.
    pub bin_dir: PathBuf,
    /// For example 15.
    pub major: u32,
}

impl Install {
    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// Finds binaries that can run the cluster of version `cluster`, or create a new one.
    ///
    /// The most specific source comes first: the configuration, the `PATH`, `pg_config`, then the newest of the
    /// directories where distributions install them.
    ///
    /// # Errors
    /// The error says what is missing and how to install it.
    pub fn find(
        options: &ManagedOptions,
        launcher: &mut Launcher,
        cluster: Option<u32>,
        directory: &Path,
    ) -> Result<Self, ManagedError> {
        if let Some(bin_dir) = &options.bin_dir {
            let problem = |problem: String| ManagedError::BinDir { bin_dir: bin_dir.clone(), problem };
            let major = version(launcher, bin_dir).map_err(problem)?;
            return match cluster {
                Some(cluster) if cluster != major => Err(ManagedError::WrongVersion {
                    directory: directory.to_owned(),
                    cluster,
                    found: format!("version {major} in {}", bin_dir.display()),
                }),
                None if major < MINIMUM => {
                    Err(ManagedError::TooOld { found: format!("version {major}"), minimum: MINIMUM })
                }
                _ => Ok(Self { bin_dir: bin_dir.clone(), major }),
            };
        }
        let mut found = Vec::new();
        for bin_dir in candidates(options, launcher) {
            let Ok(major) = version(launcher, &bin_dir) else { continue };
            if cluster.is_some_and(|cluster| cluster == major) || cluster.is_none() && major >= MINIMUM {
                return Ok(Self { bin_dir, major });
            }
            found.push(format!("version {major} in {}", bin_dir.display()));
        }
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        Err(match cluster {
            Some(cluster) => ManagedError::WrongVersion { directory: directory.to_owned(), cluster, found },
            None if found != "none" => ManagedError::TooOld { found, minimum: MINIMUM },
            None => ManagedError::NoBinaries {
                looked_in: "the PATH, `pg_config --bindir`, /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin and \
                            /usr/local/pgsql/bin"
                    .to_owned(),
                minimum: MINIMUM,
            },
        })
    }
}

/// Every directory that contains a server and its `initdb`, best first, each once.
fn candidates(options: &ManagedOptions, launcher: &Launcher) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = options.search_path.clone();
    if let Some(pg_config) = options.search_path.iter().map(|dir| dir.join("pg_config")).find(|path| path.is_file())
        && let Ok(output) = launcher.command(&pg_config).arg("--bindir").output()
        && let Ok(bin_dir) = String::from_utf8(output.stdout)
    {
        dirs.push(PathBuf::from(bin_dir.trim_end()));
    }
    dirs.extend(system_dirs(&options.system_root));
    let mut seen = Vec::new();
    for dir in dirs {
        // Links in /usr/local/bin lead to the real directory, which has `share` and `lib` beside it.
        let Ok(postgres) = fs::canonicalize(dir.join("postgres")) else { continue };
        let Some(real) = postgres.parent().map(Path::to_owned) else { continue };
        if real.join("initdb").is_file() && !seen.contains(&real) {
            seen.push(real);
        }
    }
    seen
}

/// The directories where distributions install each version, newest first.
fn system_dirs(root: &Path) -> Vec<PathBuf> {
    let mut versioned = Vec::new();
    for (parent, below) in VERSIONED {
        let parent = root.join(parent.trim_start_matches('/'));
        for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // `15` on Debian, `pgsql-15` from PostgreSQL's own RPMs, `postgresql15` on Alpine.
            let number = ["pgsql-", "postgresql"].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(&name);
            if let Ok(number) = number.parse::<u32>() {
                versioned.push((number, entry.path().join(below).components().collect()));
            }
        }
    }
    versioned.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    let rest = ["usr/local/pgsql/bin", "usr/local/bin", "usr/bin", "opt/homebrew/bin"].map(|dir| root.join(dir));
    versioned.into_iter().map(|(_, dir)| dir).chain(rest).collect()
}

/// The major version of the server in `bin_dir`, or the reason why none works.
fn version(launcher: &mut Launcher, bin_dir: &Path) -> Result<u32, String> {
    if !bin_dir.join("initdb").is_file() {
        return Err("it has no `initdb`, so it is not a server installation".to_owned());
    }
    let postgres = bin_dir.join("postgres");
    let output =
        launcher.try_out(&postgres, "--version").map_err(|error| format!("`postgres` does not run: {error}"))?;
    parse_version(&output).ok_or_else(|| format!("`postgres --version` printed {:?}", output.trim()))
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` gives 15, and so do `15beta1` and `15devel`.
fn parse_version(output: &str) -> Option<u32> {
    let number = output.split_once("(PostgreSQL)")?.1.trim_start();
    number.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_parsed_from_the_output_of_postgres() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(parse_version("postgres (PostgreSQL) 9.6.24\n"), Some(9));
        assert_eq!(parse_version("cockroach 1.0\n"), None);
    }

    #[test]
    fn the_newest_postgres_of_the_distribution_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["usr/lib/postgresql/9.6", "usr/lib/postgresql/15", "usr/pgsql-17", "usr/libexec/postgresql16"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let dirs = system_dirs(root.path());
        let dirs: Vec<_> = dirs.iter().map(|dir| dir.strip_prefix(root.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(&dirs[..3], ["usr/pgsql-17/bin", "usr/libexec/postgresql16", "usr/lib/postgresql/15/bin"]);
    }
}
