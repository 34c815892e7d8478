//! HEARS of files elsewhere to which links below a watched path lead.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use super::{Ear, Watcher};

/// By directory: the name of a file in it, the index of the watched path, and the link.
pub(super) type Links = BTreeMap<PathBuf, BTreeSet<(OsString, usize, PathBuf)>>;

/// So many links are named.
const NAMED: usize = 5;

impl Watcher {
    /// The links of a watched path are known: what happens to the files behind them is heard of, too.
    pub(super) fn hear_of_links(&mut self, index: usize) {
        let Some(target) = self.targets.get(index) else { return };
        for links in self.links.values_mut() {
            links.retain(|(_, of, _)| *of != index);
        }
        for (link, leads) in &target.links {
            if let (Some(directory), Some(name)) = (leads.parent(), leads.file_name()) {
                let links = self.links.entry(directory.to_owned()).or_default();
                links.insert((name.to_owned(), index, link.clone()));
            }
        }
        let unused: Vec<PathBuf> = self
            .links
            .iter()
            .filter(|it| it.1.is_empty())
            .map(|it| it.0.clone())
            .collect();
        for directory in unused {
            self.links.remove(&directory);
            let heard =
                self.targets.iter().any(|it| it.directories.contains(&directory)) || self.guards.has(&directory);
            if let Some(hearing) = self.hearing.as_mut().filter(|_| !heard) {
                hearing.remove(&directory);
            }
        }
        let polled = self.targets.get(index).is_some_and(|it| it.polled.is_some());
        let mut ear = Ear {
            hearing: self.hearing.as_mut().filter(|_| !polled),
            deaf: None,
        };
        self.links.keys().for_each(|directory| ear.hear(directory));
        if let Some(deaf) = ear.deaf {
            self.fall_back(&deaf);
        }
        self.tell_of_links(index);
    }

    /// Links of this watched path to what has this name in this directory.
    pub(super) fn linked(&self, index: usize, directory: &Path, name: Option<&OsStr>) -> Vec<(usize, PathBuf)> {
        let Some(name) = name else { return Vec::new() };
        let links = self.links.get(directory).into_iter().flatten();
        let led = links.filter(|(known, of, _)| known == name && *of == index);
        led.map(|(_, of, link)| (*of, link.clone())).collect()
    }

    /// Nobody would see why nothing happens.
    fn tell_of_links(&mut self, index: usize) {
        let outside = self
            .targets
            .get(index)
            .map(|it| &it.outside)
            .filter(|it| !it.is_empty());
        let Some(outside) = outside.filter(|_| !self.told_of_links) else {
            return;
        };
        let named: Vec<String> = outside.iter().take(NAMED).map(|it| it.display().to_string()).collect();
        tracing::warn!(
            links = named.join(", "),
            count = outside.len(),
            remedy = "name the directories behind them in SEGUE_WATCH",
            "links to directories outside of the watched path are not followed"
        );
        self.told_of_links = true;
    }
}
