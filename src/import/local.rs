//! Models installed on a machine, in the documented default places of three tools.
//!
//! | tool | place | how a model lies there |
//! | --- | --- | --- |
//! | Hugging Face cache | `HF_HUB_CACHE`, `HF_HOME/hub`, `~/.cache/huggingface/hub` | `models--org--name/snapshots/revision/` |
//! | Ollama | `OLLAMA_MODELS`, `~/.ollama/models`, `/usr/share/ollama/.ollama/models` | `manifests/registry/namespace/model/tag`, `blobs/sha256-…` |
//! | LM Studio | `~/.lmstudio/models`, `~/.cache/lm-studio/models` | `publisher/repository/` |
//!
//! Only these levels are listed, each to a bounded number of entries; nothing is walked deeper and no
//! weights are read. Sources: `huggingface_hub` "Manage cache", Ollama FAQ "Where are models stored?",
//! LM Studio "Import models".

use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most entries of one folder looked at.
const MOST_ENTRIES: usize = 2000;
/// Longest manifest read; real ones have about a kilobyte.
const LONGEST_MANIFEST: u64 = 100_000;

/// Where to look: the home folder and what the environment names instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Home of the user.
    pub home: Option<PathBuf>,
    /// `HF_HOME`.
    pub hf_home: Option<PathBuf>,
    /// `HF_HUB_CACHE`.
    pub hf_hub_cache: Option<PathBuf>,
    /// `OLLAMA_MODELS`.
    pub ollama_models: Option<PathBuf>,
    /// The models of an Ollama that runs as a service.
    pub ollama_service: Option<PathBuf>,
}

/// A model found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The tool it belongs to.
    pub tool: &'static str,
    /// As the tool names it.
    pub name: String,
    /// What to read it from.
    pub path: PathBuf,
    /// Bytes of its weights on disk.
    pub bytes: u64,
}

impl Places {
    /// The Hugging Face cache.
    fn hugging_face(&self) -> Option<PathBuf> {
        let under_home = || self.home.as_ref().map(|home| home.join(".cache/huggingface"));
        let hub = || self.hf_home.clone().or_else(under_home).map(|folder| folder.join("hub"));
        self.hf_hub_cache.clone().or_else(hub)
    }

    /// The folders of Ollama: the named one, or those it takes by default.
    fn ollama(&self) -> Vec<PathBuf> {
        if let Some(named) = &self.ollama_models {
            return vec![named.clone()];
        }
        let own = self.home.as_ref().map(|home| home.join(".ollama/models"));
        own.into_iter().chain(self.ollama_service.clone()).collect()
    }

    /// The folders of LM Studio, of now and of versions before 0.3.6.
    fn lm_studio(&self) -> Vec<PathBuf> {
        let under = |home: &PathBuf| [home.join(".lmstudio/models"), home.join(".cache/lm-studio/models")];
        self.home.iter().flat_map(under).collect()
    }

    /// Every folder looked at.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.hugging_face().into_iter().chain(self.ollama()).chain(self.lm_studio()).collect()
    }
}

/// The models of all tools, by tool and name.
pub fn installed(places: &Places) -> Vec<Installed> {
    let mut found = Vec::new();
    for repository in places.hugging_face().iter().flat_map(|hub| entries(hub)) {
        let name = file_name(&repository);
        if let Some(name) = name.strip_prefix("models--")
            && let Some(snapshot) = snapshot(&repository)
        {
            found.extend(of_folder("hugging face", &name.replace("--", "/"), &snapshot));
        }
    }
    for folder in places.ollama() {
        found.extend(ollama(&folder));
    }
    for folder in places.lm_studio() {
        for repository in entries(&folder).iter().flat_map(|publisher| entries(publisher)) {
            let publisher = repository.parent().map(file_name).unwrap_or_default();
            found.extend(of_folder(
                "lm studio",
                &format!("{publisher}/{}", file_name(&repository)),
                &repository,
            ));
        }
    }
    found.sort_by(|a, b| (a.tool, &a.name).cmp(&(b.tool, &b.name)));
    found
}

/// The newest revision: the one `main` points to, else the first by name.
fn snapshot(repository: &Path) -> Option<PathBuf> {
    let snapshots = repository.join("snapshots");
    let main = text(&repository.join("refs/main"), 100);
    let named = main
        .map(|revision| revision.trim().to_owned())
        .filter(|revision| !revision.is_empty() && revision.chars().all(|c| c.is_ascii_alphanumeric()));
    let of_main = named.map(|revision| snapshots.join(revision)).filter(|folder| folder.is_dir());
    of_main.or_else(|| entries(&snapshots).into_iter().find(|folder| folder.is_dir()))
}

/// The models of one folder: a checkpoint, and every GGUF file.
fn of_folder(tool: &'static str, name: &str, folder: &Path) -> Vec<Installed> {
    let files: Vec<(PathBuf, u64)> = entries(folder)
        .into_iter()
        .filter_map(|path| {
            std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file).map(|file| (path, file.len()))
        })
        .collect();
    let ends =
        |path: &Path, ending: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    let mut found = Vec::new();
    let weights: u64 =
        files.iter().filter(|(path, _)| ends(path, "safetensors")).map(|(_, bytes)| bytes).sum();
    if weights > 0 {
        found.push(Installed { tool, name: name.to_owned(), path: folder.to_owned(), bytes: weights });
    }
    for (path, bytes) in files.iter().filter(|(path, _)| ends(path, "gguf")) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // A projector is no model; parts after the first belong to it.
        let part = stem.rsplit_once("-of-").and_then(|(before, _)| before.rsplit_once('-'));
        if stem.to_lowercase().contains("mmproj") || part.is_some_and(|(_, number)| number != "00001") {
            continue;
        }
        let of_model =
            |other: &Path| part.is_some_and(|(base, _)| file_name(other).starts_with(&format!("{base}-0")));
        let rest: u64 =
            files.iter().filter(|(other, _)| other != path && of_model(other)).map(|(_, bytes)| bytes).sum();
        let name = format!("{name}/{}", part.map_or(stem.as_str(), |(base, _)| base));
        found.push(Installed { tool, name, path: path.clone(), bytes: bytes + rest });
    }
    found
}

/// What a manifest of Ollama lists.
#[derive(Deserialize)]
struct Manifest {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

/// The models of an Ollama folder: `model:tag`, with the namespace where it is not the common one.
fn ollama(folder: &Path) -> Vec<Installed> {
    let mut found = Vec::new();
    let namespaces =
        entries(&folder.join("manifests")).iter().flat_map(|registry| entries(registry)).collect::<Vec<_>>();
    for model in namespaces.iter().flat_map(|namespace| entries(namespace)) {
        for tag in entries(&model) {
            let Some(manifest) = text(&tag, LONGEST_MANIFEST) else { continue };
            let Ok(Manifest { layers }) = serde_json::from_str(&manifest) else { continue };
            let weights =
                layers.into_iter().find(|layer| layer.media_type == "application/vnd.ollama.image.model");
            let Some(Layer { digest, size, .. }) = weights else { continue };
            let hex = digest.strip_prefix("sha256:").filter(|hex| hex.chars().all(|c| c.is_ascii_hexdigit()));
            let Some(hex) = hex else { continue };
            let namespace = model.parent().map(file_name).unwrap_or_default();
            let before = if namespace == "library" { String::new() } else { format!("{namespace}/") };
            let name = format!("{before}{}:{}", file_name(&model), file_name(&tag));
            let path = folder.join("blobs").join(format!("sha256-{hex}"));
            found.push(Installed { tool: "ollama", name, path, bytes: size });
        }
    }
    found
}

/// The entries of a folder in order; none where it cannot be listed.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = listed.take(MOST_ENTRIES).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// A short file as text.
fn text(path: &Path, most: u64) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(most).read_to_string(&mut text).ok()?;
    Some(text)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn put(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn models_of_three_tools_are_found_with_their_sizes() {
        let home = std::env::temp_dir().join(format!("plimsoll-local-{}", std::process::id()));
        let hub = home.join(".cache/huggingface/hub/models--Qwen--Qwen3-8B");
        put(&hub.join("refs/main"), b"abc123\n");
        put(&hub.join("snapshots/abc123/model-00001-of-00002.safetensors"), &[0; 30]);
        put(&hub.join("snapshots/abc123/model-00002-of-00002.safetensors"), &[0; 12]);
        put(&hub.join("snapshots/aaa/model.safetensors"), &[0; 7]);
        put(&home.join(".cache/huggingface/hub/datasets--x--y/snapshots/a/model.safetensors"), &[0; 7]);
        let ollama = home.join(".ollama/models");
        let manifest = r#"{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:00ff", "size": 99},
            {"mediaType": "application/vnd.ollama.image.params", "digest": "sha256:11", "size": 5}]}"#;
        put(&ollama.join("manifests/registry.ollama.ai/library/llama3.1/8b"), manifest.as_bytes());
        put(
            &ollama.join("manifests/registry.ollama.ai/someone/odd/x"),
            manifest.replace("00ff", "../../x").as_bytes(),
        );
        put(&ollama.join("manifests/registry.ollama.ai/library/broken/x"), b"{");
        let studio = home.join(".lmstudio/models/unsloth/GLM-GGUF");
        put(&studio.join("GLM-Q4_K_M-00001-of-00002.gguf"), &[0; 10]);
        put(&studio.join("GLM-Q4_K_M-00002-of-00002.gguf"), &[0; 11]);
        put(&studio.join("mmproj-F16.gguf"), &[0; 3]);
        let found = installed(&Places { home: Some(home.clone()), ..Places::default() });
        let elsewhere = installed(&Places { hf_hub_cache: Some(home.join("none")), ..Places::default() });
        let named = Places {
            hf_home: Some(home.join(".cache/huggingface")),
            ollama_models: Some(ollama.clone()),
            ..Places::default()
        };
        let by_environment = installed(&named).len();
        fs::remove_dir_all(&home).unwrap();
        let told: Vec<_> = found.iter().map(|one| (one.tool, one.name.as_str(), one.bytes)).collect();
        assert_eq!(
            told,
            [
                ("hugging face", "Qwen/Qwen3-8B", 42),
                ("lm studio", "unsloth/GLM-GGUF/GLM-Q4_K_M", 21),
                ("ollama", "llama3.1:8b", 99),
            ]
        );
        assert_eq!(found[2].path, ollama.join("blobs/sha256-00ff"));
        assert_eq!((elsewhere.len(), by_environment), (0, 2));
    }
}
