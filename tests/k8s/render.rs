//! Renders every kustomization below k8s/ with kubectl, offline.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use serde_json::Value;

/// What `kubectl apply -k` would send.
pub(crate) struct Rendered {
    /// Below k8s/.
    pub(crate) folder: String,
    pub(crate) documents: Vec<Value>,
}

/// Every folder with a kustomization, in order; nothing where there is no kubectl.
pub(crate) fn all() -> Vec<Rendered> {
    let present = available("kubectl", &["version", "--client"]);
    let folders = folders(&root()).into_iter().filter(|_| present);
    folders.map(|folder| render(&folder)).collect()
}

pub(crate) fn one(folder: &str) -> Option<Vec<Value>> {
    let rendered = all().into_iter().find(|rendered| rendered.folder == folder)?;
    Some(rendered.documents)
}

/// Whether a tool is there. A run that proves things for others must not do without.
pub(crate) fn available(tool: &str, arguments: &[&str]) -> bool {
    let present = Command::new(tool).args(arguments).output().is_ok();
    let required = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(present || !required, "there is no {tool}; scripts/setup installs it");
    if !present {
        eprintln!("skipped: there is no {tool}");
    }
    present
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s")
}

fn folders(below: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(below)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    let own = entries.iter().any(|path| path.ends_with("kustomization.yaml"));
    let deeper = entries
        .iter()
        .filter(|path| path.is_dir())
        .flat_map(|path| folders(path));
    own.then(|| below.to_owned()).into_iter().chain(deeper).collect()
}

fn render(folder: &Path) -> Rendered {
    let relative = folder.strip_prefix(root()).unwrap();
    let text = kustomize(folder).unwrap_or_else(|error| {
        // The kubectl of Debian 12 has a kustomize of 2019.
        assert!(
            error.contains("must be a file") || error.contains("json: cannot unmarshal"),
            "{error}"
        );
        let old = tempfile::tempdir().unwrap();
        translate(&root(), old.path());
        kustomize(&old.path().join(relative)).unwrap_or_else(|error| panic!("{error}"))
    });
    Rendered {
        folder: relative.to_str().unwrap().to_owned(),
        documents: documents(&text),
    }
}

fn kustomize(folder: &Path) -> Result<String, String> {
    let output = Command::new("kubectl").arg("kustomize").arg(folder).output();
    let output = output.map_err(|error| error.to_string())?;
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    // The old one exits with 0 whatever happens; the new one warns of what is deprecated.
    if err.is_empty() {
        Ok(out)
    } else {
        Err(format!("{}: {err}", folder.display()))
    }
}

pub(crate) fn documents(text: &str) -> Vec<Value> {
    let documents = serde_norway::Deserializer::from_str(text).map(|it| Value::deserialize(it).unwrap());
    // The old one does not do this itself.
    documents.filter(|document| document["$patch"] != "delete").collect()
}

/// Copies a tree, with kustomizations in the words of old: `bases` and `patchesStrategicMerge`.
fn translate(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            translate(&path, &copy);
        } else if path.ends_with("kustomization.yaml") {
            let mut kustomization = documents(&fs::read_to_string(&path).unwrap()).remove(0);
            let resources = kustomization["resources"].as_array().cloned().unwrap_or_default();
            let (bases, files): (Vec<Value>, Vec<Value>) = resources
                .into_iter()
                .partition(|it| it.as_str().unwrap().starts_with(".."));
            let patches = kustomization["patches"].as_array().cloned().unwrap_or_default();
            kustomization["bases"] = bases.into();
            kustomization["resources"] = files.into();
            kustomization["patchesStrategicMerge"] = patches.iter().map(|patch| patch["path"].clone()).collect();
            kustomization.as_object_mut().unwrap().remove("patches");
            fs::write(copy, kustomization.to_string()).unwrap();
        } else {
            fs::copy(&path, &copy).unwrap();
        }
    }
}
