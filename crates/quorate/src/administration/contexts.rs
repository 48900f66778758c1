//! Saved contexts: the address of a node's administration, with the certificate and key that identify the caller
//! there.
//!
//! ```text
//! CONFIG/quorate/contexts/NAME.toml            address of the administration, name and role of the caller
//! CONFIG/quorate/contexts/NAME.pem             the certificate
//! CONFIG/quorate/contexts/NAME.key             the certificate's private key, which may be encrypted with a password
//! CONFIG/quorate/contexts/NAME.authority.pem   the cluster's authority
//! CONFIG/quorate/contexts/NAME.nodes           keys of nodes to which the context has connected
//! ```
//! CONFIG is `$XDG_CONFIG_HOME`, or `~/.config`.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use transport::{Identity, KnownKeys, SigningRequest, Subject, is_private_key_encrypted, read_private};

use super::key_password;

/// How many node keys a context keeps; the oldest are dropped.
const NODE_KEYS_MAX: usize = 64;

/// Name of the context that is used where none is named.
pub(crate) const DEFAULT: &str = "default";

/// A saved context, as read from its files.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    name: String,
    folder: PathBuf,
    written: Written,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    address: String,
    name: String,
    role: String,
}

/// The content of a context that is to be saved.
pub(crate) struct NewContext<'a> {
    pub(crate) address: &'a str,
    pub(crate) name: &'a str,
    pub(crate) role: &'a str,
    pub(crate) certificate: &'a str,
    pub(crate) key: &'a str,
    pub(crate) authority: &'a str,
}

/// Whether `text` is a valid context name: letters, digits and `-_.`, not beginning with a dot, because it becomes a
/// file name.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

impl Context {
    /// Reads the context with this name. It is an error if there is none.
    pub(crate) fn named(name: &str) -> anyhow::Result<Self> {
        let known = if is_name(name) { Self::saved(name)? } else { None };
        known.ok_or_else(|| {
            anyhow!(
                "there is no saved context {name:?}: create it with `quorate cluster login HOST:1690 --context {name} \
                 --token TOKEN`"
            )
        })
    }

    /// Reads the context with this name; `None` if there is none.
    pub(crate) fn saved(name: &str) -> anyhow::Result<Option<Self>> {
        let folder = folder()?;
        let path = folder.join(format!("{name}.toml"));
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| path.display().to_string())?,
        };
        let written = toml::from_str(&text).with_context(|| path.display().to_string())?;
        Ok(Some(Self { name: name.to_owned(), folder, written }))
    }

    /// Chooses the context for an address: the one saved for this address, else the only context, else the default
    /// one.
    pub(crate) fn for_address(address: &str) -> anyhow::Result<Self> {
        let mut all = Self::all()?;
        if let Some(same) = all.iter().position(|context| context.written.address == address) {
            return Ok(all.swap_remove(same));
        }
        match all.iter().position(|context| context.name == DEFAULT) {
            Some(default) => Ok(all.swap_remove(default)),
            None if all.len() == 1 => Ok(all.swap_remove(0)),
            None if all.is_empty() => Err(anyhow!(
                "cannot authenticate to {address}: no context is saved; create one with `quorate cluster login \
                 {address} --token TOKEN`"
            )),
            None => Err(anyhow!(
                "cannot choose a certificate for {address}: no saved context has this address and none is named \
                 {DEFAULT:?}; select one with --context NAME"
            )),
        }
    }

    fn all() -> anyhow::Result<Vec<Self>> {
        let Ok(entries) = fs::read_dir(folder()?) else { return Ok(Vec::new()) };
        let mut names: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".toml")?.to_owned()))
            .collect();
        names.sort();
        names.iter().map(|name| Self::named(name)).collect()
    }

    /// Whether any file of a context with this name exists.
    pub(crate) fn is_saved(name: &str) -> anyhow::Result<bool> {
        let folder = folder()?;
        let mut files = ["toml", "pem", "key", "authority.pem"].into_iter().map(|kind| file(&folder, name, kind));
        Ok(files.any(|path| path.symlink_metadata().is_ok()))
    }

    /// Saves a new context and replaces one of the same name.
    pub(crate) fn save(name: &str, new: &NewContext<'_>) -> anyhow::Result<PathBuf> {
        let folder = folder()?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let written = Written { address: new.address.into(), name: new.name.into(), role: new.role.into() };
        let path = folder.join(format!("{name}.toml"));
        let text = toml::to_string(&written)?;
        for (path, text) in [
            (file(&folder, name, "authority.pem"), new.authority),
            (file(&folder, name, "key"), new.key),
            (file(&folder, name, "pem"), new.certificate),
            (path.clone(), text.as_str()),
        ] {
            storage::durable::replace_private_file(&path, text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(path)
    }

    /// Address of the administration of the context's cluster, HOST:PORT.
    pub(crate) fn address(&self) -> &str {
        &self.written.address
    }

    /// A request for a new certificate for the same key; `None` where the key is encrypted, because its password is
    /// not asked for twice.
    pub(crate) fn renewal_request(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let key = read_private(&file(&self.folder, &self.name, "key"))?;
        if is_private_key_encrypted(&key) {
            return Ok(None);
        }
        Ok(Some(SigningRequest::with_key(std::str::from_utf8(&key)?)?))
    }

    /// Replaces the context's certificate and authority by renewed ones.
    pub(crate) fn renew(&self, certificate: &str, authority: &str) -> anyhow::Result<()> {
        for (kind, text) in [("authority.pem", authority), ("pem", certificate)] {
            let path = file(&self.folder, &self.name, kind);
            storage::durable::replace_private_file(&path, text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Keys of nodes that this context has connected to. A node with one of them is accepted whatever authority
    /// certified it.
    fn node_keys(&self) -> Vec<[u8; 32]> {
        let text = fs::read_to_string(file(&self.folder, &self.name, "nodes")).unwrap_or_default();
        let keys = text.lines().filter_map(|line| HEXLOWER.decode(line.as_bytes()).ok()?.try_into().ok());
        keys.take(NODE_KEYS_MAX).collect()
    }

    /// Adds the key of a node that this context connected to.
    pub(crate) fn keep_node_key(&self, key: [u8; 32]) -> anyhow::Result<()> {
        let mut keys = self.node_keys();
        if keys.contains(&key) {
            return Ok(());
        }
        // The newest keys come first, so that truncation drops the oldest.
        keys.insert(0, key);
        keys.truncate(NODE_KEYS_MAX);
        let text: String = keys.iter().map(|key| HEXLOWER.encode(key) + "\n").collect();
        let path = file(&self.folder, &self.name, "nodes");
        storage::durable::replace_private_file(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The certificate, the key and the authority that a connection presents and verifies.
    pub(crate) fn identity(&self) -> anyhow::Result<Identity> {
        let key = read_private(&file(&self.folder, &self.name, "key"))?;
        let whose = format!("context {}", self.name);
        let plain = if is_private_key_encrypted(&key) { Some(key_password::decrypt(&key, &whose)?) } else { None };
        let key = plain.as_ref().map_or(key.as_slice(), |plain| plain.as_bytes());
        let known = KnownKeys::default();
        known.replace(self.node_keys(), []);
        let [certificate, authority] =
            ["pem", "authority.pem"].map(|kind| read_private(&file(&self.folder, &self.name, kind)));
        let identity = Identity::from_pem_knowing(&certificate?, key, &authority?, &known).context(whose)?;
        let Subject::Person { .. } = identity.subject() else {
            return Err(anyhow!(
                "the certificate of context {} was issued to {}, not to a person: log in again with a token for a \
                 person",
                self.name,
                identity.subject()
            ));
        };
        if !identity.is_valid_at(client::time_ms()) {
            return Err(anyhow!(
                "the certificate of context {} has expired, or this machine's clock is wrong: log in again with \
                 `quorate cluster login {} --context {} --force --token T`",
                self.name,
                self.written.address,
                self.name
            ));
        }
        Ok(identity)
    }
}

fn file(folder: &Path, name: &str, kind: &str) -> PathBuf {
    folder.join(format!("{name}.{kind}"))
}

fn folder() -> anyhow::Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    Ok(config
        .context(
            "cannot find the folder of saved contexts: neither XDG_CONFIG_HOME nor HOME is set to an absolute path",
        )?
        .join("quorate/contexts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_contexts_are_names_of_files() {
        for (name, fits) in [("default", true), ("site-2.east", true), ("", false), ("../x", false), (".x", false)] {
            assert_eq!(is_name(name), fits, "{name:?}");
        }
    }
}
