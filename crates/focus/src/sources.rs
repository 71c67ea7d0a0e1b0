//! The sources of a conference: what each endpoint sends, and the rules for changing it.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use stanza::colibri2::MediaSource;
use stanza::jingle::{Content, Creator, Description};
use stanza::jitsi::compact::{
    CompactGroup, CompactSource, CompactSources, GroupKind, OwnerSources,
};
use stanza::media::{MediaType, Parameter, Source as XmlSource, SsrcGroup};
use thiserror::Error;

/// Longest name, media stream id or video type that is accepted.
const MAX_TEXT: usize = 256;

/// Why a change of sources is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum SourceError {
    #[error("unknown media type")]
    UnknownMedia,
    #[error("SSRC 0 is not allowed")]
    ZeroSsrc,
    #[error("SSRC {0} is already used")]
    Duplicate(u32),
    #[error("SSRC {0} is not known")]
    Unknown(u32),
    #[error("the source name {0:?} does not belong to the sender")]
    ForeignName(String),
    #[error("a name or media stream id is too long or contains control characters")]
    BadText,
    #[error("the media stream id of SSRC {0} belongs to another participant")]
    ForeignMsid(u32),
    #[error("more than {0} sources or groups")]
    TooMany(usize),
    #[error("the group semantics {0:?} are not supported")]
    UnknownSemantics(String),
    #[error("an FID group must have two SSRCs")]
    FidSize,
    #[error("a group names SSRC {0}, which is no source of the sender")]
    GroupOfUnknown(u32),
    #[error("the sources of a group have no common media stream id")]
    GroupMsid,
    #[error("two streams share the media stream id {0:?}")]
    SharedMsid(String),
    #[error("a group to remove does not exist")]
    UnknownGroup,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) ssrc: u32,
    pub(crate) media: MediaType,
    pub(crate) name: String,
    pub(crate) msid: Option<String>,
    pub(crate) video_type: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) kind: GroupKind,
    pub(crate) media: MediaType,
    pub(crate) ssrcs: Vec<u32>,
}

/// What one endpoint sends, in the order it said it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SourceSet {
    pub(crate) sources: Vec<Source>,
    pub(crate) groups: Vec<Group>,
}

/// The sources of one endpoint as a snapshot keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceRecord {
    sources: Vec<SourceLine>,
    groups: Vec<GroupLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SourceLine {
    ssrc: u32,
    media: String,
    name: String,
    msid: Option<String>,
    video_type: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct GroupLine {
    kind: String,
    media: String,
    ssrcs: Vec<u32>,
}

impl SourceSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.groups.is_empty()
    }

    pub(crate) fn has(&self, media: MediaType) -> bool {
        self.sources.iter().any(|s| s.media == media)
    }

    fn find(&self, ssrc: u32) -> Option<&Source> {
        self.sources.iter().find(|s| s.ssrc == ssrc)
    }

    /// Reads the sources of Jingle contents; `owner` is the sender.
    pub(crate) fn from_contents(owner: &str, contents: &[Content]) -> Result<Self, SourceError> {
        let mut set = Self::default();
        for content in contents {
            if content.all_sources().next().is_none() && content.all_groups().next().is_none() {
                continue;
            }
            let media = MediaType::from_name(content.media()).ok_or(SourceError::UnknownMedia)?;
            for source in content.all_sources() {
                set.sources.push(read_source(owner, media, source)?);
            }
            for group in content.all_groups().filter(|group| !group.ssrcs.is_empty()) {
                let kind = GroupKind::from_semantics(&group.semantics)
                    .ok_or_else(|| SourceError::UnknownSemantics(group.semantics.clone()))?;
                set.groups.push(Group {
                    kind,
                    media,
                    ssrcs: group.ssrcs.clone(),
                });
            }
        }
        Ok(set)
    }

    /// Reads what a compact message says of `owner`.
    pub(crate) fn from_compact(owner: &str, message: &CompactSources) -> Result<Self, SourceError> {
        let mut set = Self::default();
        let Some(owned) = message.0.get(owner) else {
            return Ok(set);
        };
        let media = [
            (MediaType::Video, &owned.video, &owned.video_groups),
            (MediaType::Audio, &owned.audio, &owned.audio_groups),
        ];
        for (media, sources, groups) in media {
            for source in sources {
                let xml = XmlSource {
                    ssrc: source.ssrc,
                    name: source.name.clone(),
                    video_type: source.desktop.then(|| "desktop".to_owned()),
                    parameters: msid_parameter(source.msid.as_ref()),
                    owner: None,
                };
                set.sources.push(read_source(owner, media, &xml)?);
            }
            for group in groups.iter().filter(|group| !group.ssrcs.is_empty()) {
                set.groups.push(Group {
                    kind: group.kind,
                    media,
                    ssrcs: group.ssrcs.clone(),
                });
            }
        }
        Ok(set)
    }

    /// For a receiver that is told sources one by one: its media types only, and of simulcast the first layer only.
    pub(crate) fn filtered(&self, audio: bool, video: bool, strip_simulcast: bool) -> Self {
        let mut dropped = BTreeSet::new();
        if strip_simulcast {
            let sim = self
                .groups
                .iter()
                .filter(|group| group.kind == GroupKind::Sim);
            dropped.extend(sim.flat_map(|group| group.ssrcs.iter().skip(1).copied()));
            let fid = self
                .groups
                .iter()
                .filter(|group| group.kind == GroupKind::Fid);
            let partners: Vec<u32> = fid
                .filter(|group| {
                    group
                        .ssrcs
                        .first()
                        .is_some_and(|ssrc| dropped.contains(ssrc))
                })
                .flat_map(|group| group.ssrcs.iter().copied())
                .collect();
            dropped.extend(partners);
        }
        let wanted = |media: MediaType| match media {
            MediaType::Audio => audio,
            MediaType::Video => video,
        };
        let sources = self
            .sources
            .iter()
            .filter(|s| wanted(s.media) && !dropped.contains(&s.ssrc));
        let groups = self.groups.iter().filter(|group| {
            wanted(group.media)
                && !group.ssrcs.iter().any(|ssrc| dropped.contains(ssrc))
                && !(strip_simulcast && group.kind == GroupKind::Sim)
        });
        Self {
            sources: sources.cloned().collect(),
            groups: groups.cloned().collect(),
        }
    }

    /// As a snapshot keeps it.
    pub(crate) fn to_record(&self) -> SourceRecord {
        let sources = self.sources.iter().map(|s| SourceLine {
            ssrc: s.ssrc,
            media: s.media.name().to_owned(),
            name: s.name.clone(),
            msid: s.msid.clone(),
            video_type: s.video_type.clone(),
        });
        let groups = self.groups.iter().map(|group| GroupLine {
            kind: group.kind.semantics().to_owned(),
            media: group.media.name().to_owned(),
            ssrcs: group.ssrcs.clone(),
        });
        SourceRecord {
            sources: sources.collect(),
            groups: groups.collect(),
        }
    }

    /// Reads what a snapshot kept of `owner`, with the same checks as if the client had said it.
    pub(crate) fn from_record(owner: &str, record: &SourceRecord) -> Result<Self, SourceError> {
        let media = |name: &str| MediaType::from_name(name).ok_or(SourceError::UnknownMedia);
        let mut set = Self::default();
        for line in &record.sources {
            let source = XmlSource {
                ssrc: line.ssrc,
                name: Some(line.name.clone()),
                video_type: line.video_type.clone(),
                parameters: msid_parameter(line.msid.as_ref()),
                owner: None,
            };
            set.sources
                .push(read_source(owner, media(&line.media)?, &source)?);
        }
        for line in &record.groups {
            let kind = GroupKind::from_semantics(&line.kind)
                .ok_or_else(|| SourceError::UnknownSemantics(line.kind.clone()))?;
            set.groups.push(Group {
                kind,
                media: media(&line.media)?,
                ssrcs: line.ssrcs.clone(),
            });
        }
        Ok(set)
    }

    /// What is in `self` and not in `other`.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self {
            sources: self
                .sources
                .iter()
                .filter(|s| !other.sources.contains(s))
                .cloned()
                .collect(),
            groups: self
                .groups
                .iter()
                .filter(|group| !other.groups.contains(group))
                .cloned()
                .collect(),
        }
    }

    /// What is left without sources and the groups they are in.
    pub(crate) fn without(mut self, removed: &Self) -> Result<Self, SourceError> {
        for group in &removed.groups {
            if !self.groups.contains(group) {
                return Err(SourceError::UnknownGroup);
            }
        }
        for source in &removed.sources {
            if self.find(source.ssrc).is_none() {
                return Err(SourceError::Unknown(source.ssrc));
            }
            self.sources.retain(|known| known.ssrc != source.ssrc);
            self.groups
                .retain(|group| !group.ssrcs.contains(&source.ssrc));
        }
        self.groups.retain(|group| !removed.groups.contains(group));
        validate(&self)?;
        Ok(self)
    }

    /// As a bridge is told: one media source for each name.
    pub(crate) fn to_colibri(&self) -> Vec<MediaSource> {
        let mut all: Vec<MediaSource> = Vec::new();
        for source in &self.sources {
            let xml = XmlSource {
                ssrc: source.ssrc,
                name: Some(source.name.clone()),
                video_type: source.video_type.clone(),
                parameters: Vec::new(),
                owner: None,
            };
            match all
                .iter_mut()
                .find(|m| m.id == source.name && m.media == source.media)
            {
                Some(known) => known.sources.push(xml),
                None => all.push(MediaSource {
                    media: source.media,
                    id: source.name.clone(),
                    synthetic: false,
                    sources: vec![xml],
                    groups: Vec::new(),
                }),
            }
        }
        for group in &self.groups {
            let first = group.ssrcs.first().copied();
            let home = all
                .iter_mut()
                .find(|m| m.sources.iter().any(|s| Some(s.ssrc) == first));
            if let Some(home) = home {
                home.groups.push(group.to_xml());
            }
        }
        all
    }

    /// As a message in compact form says it.
    pub(crate) fn to_compact(&self) -> OwnerSources {
        let sources = |media: MediaType| -> Vec<CompactSource> {
            let of_media = self.sources.iter().filter(|s| s.media == media);
            of_media
                .map(|s| CompactSource {
                    ssrc: s.ssrc,
                    name: Some(s.name.clone()),
                    msid: s.msid.clone(),
                    desktop: s
                        .video_type
                        .as_deref()
                        .is_some_and(|kind| kind.starts_with("desktop")),
                })
                .collect()
        };
        let groups = |media: MediaType| -> Vec<CompactGroup> {
            let of_media = self.groups.iter().filter(|group| group.media == media);
            of_media
                .map(|group| CompactGroup {
                    kind: group.kind,
                    ssrcs: group.ssrcs.clone(),
                })
                .collect()
        };
        OwnerSources {
            video: sources(MediaType::Video),
            video_groups: groups(MediaType::Video),
            audio: sources(MediaType::Audio),
            audio_groups: groups(MediaType::Audio),
        }
    }

    /// As XML sources of one medium, with their owner.
    pub(crate) fn to_xml(&self, media: MediaType, owner: &str) -> (Vec<XmlSource>, Vec<SsrcGroup>) {
        let sources = self
            .sources
            .iter()
            .filter(|s| s.media == media)
            .map(|s| XmlSource {
                ssrc: s.ssrc,
                name: Some(s.name.clone()),
                video_type: s.video_type.clone(),
                parameters: msid_parameter(s.msid.as_ref()),
                owner: Some(owner.to_owned()),
            });
        let groups = self
            .groups
            .iter()
            .filter(|group| group.media == media)
            .map(Group::to_xml);
        (sources.collect(), groups.collect())
    }
}

impl Group {
    fn to_xml(&self) -> SsrcGroup {
        SsrcGroup {
            semantics: self.kind.semantics().to_owned(),
            ssrcs: self.ssrcs.clone(),
        }
    }
}

/// Contents for `source-add` and `source-remove` in XML form.
pub(crate) fn xml_contents(owners: &BTreeMap<String, SourceSet>) -> Vec<Content> {
    let mut contents = Vec::new();
    for media in [MediaType::Audio, MediaType::Video] {
        let mut description = Description {
            media: Some(media.name().to_owned()),
            ..Description::default()
        };
        for (owner, set) in owners {
            let (sources, groups) = set.to_xml(media, owner);
            description.sources.extend(sources);
            description.groups.extend(groups);
        }
        if !description.sources.is_empty() || !description.groups.is_empty() {
            contents.push(Content {
                creator: Some(Creator::Initiator),
                name: media.name().to_owned(),
                senders: Some("both".to_owned()),
                description: Some(description),
                ..Content::default()
            });
        }
    }
    contents
}

/// The same in compact form.
pub(crate) fn compact(owners: &BTreeMap<String, SourceSet>) -> CompactSources {
    CompactSources(
        owners
            .iter()
            .map(|(owner, set)| (owner.clone(), set.to_compact()))
            .collect(),
    )
}

fn msid_parameter(msid: Option<&String>) -> Vec<Parameter> {
    msid.map(|value| Parameter {
        name: "msid".to_owned(),
        value: value.clone(),
    })
    .into_iter()
    .collect()
}

fn read_source(owner: &str, media: MediaType, source: &XmlSource) -> Result<Source, SourceError> {
    if source.ssrc == 0 {
        return Err(SourceError::ZeroSsrc);
    }
    let default = || {
        format!(
            "{owner}-{}0",
            if media == MediaType::Audio { "a" } else { "v" }
        )
    };
    let name = source
        .name
        .clone()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(default);
    let msid = source
        .parameters
        .iter()
        .find(|p| p.name == "msid")
        .map(|p| p.value.clone());
    let texts = [Some(&name), msid.as_ref(), source.video_type.as_ref()];
    if texts
        .into_iter()
        .flatten()
        .any(|text| text.len() > MAX_TEXT || text.chars().any(char::is_control))
    {
        return Err(SourceError::BadText);
    }
    let own = name
        .strip_prefix(owner)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|rest| !rest.is_empty());
    if !own {
        return Err(SourceError::ForeignName(name));
    }
    Ok(Source {
        ssrc: source.ssrc,
        media,
        name,
        msid,
        video_type: source.video_type.clone(),
    })
}

/// The sources of all endpoints of a conference.
#[derive(Debug, Default)]
pub(crate) struct SourceTable {
    by_owner: BTreeMap<String, SourceSet>,
    owner_of_ssrc: HashMap<u32, String>,
    owner_of_msid: HashMap<String, String>,
}

impl SourceTable {
    pub(crate) fn of(&self, owner: &str) -> Option<&SourceSet> {
        self.by_owner.get(owner)
    }

    pub(crate) fn owners(&self) -> impl Iterator<Item = (&String, &SourceSet)> {
        self.by_owner.iter()
    }

    /// Adds sources, all or none; `limit` bounds the sources, and likewise the groups, of one owner.
    pub(crate) fn add(
        &mut self,
        owner: &str,
        added: SourceSet,
        limit: usize,
    ) -> Result<(), SourceError> {
        let known = self.by_owner.get(owner).cloned().unwrap_or_default();
        let whole = self.joined(owner, known, added, limit)?;
        self.put(owner, whole);
        Ok(())
    }

    /// Gives an owner these sources in place of all it has; if it may not have them, it has none.
    pub(crate) fn replace(
        &mut self,
        owner: &str,
        set: SourceSet,
        limit: usize,
    ) -> Result<(), SourceError> {
        let whole = self.joined(owner, SourceSet::default(), set, limit);
        self.put(owner, SourceSet::default());
        self.put(owner, whole?);
        Ok(())
    }

    /// Whether somebody else has an SSRC or a media stream id of `set`.
    pub(crate) fn clashes(&self, owner: &str, set: &SourceSet) -> bool {
        set.sources.iter().any(|source| {
            let msid = source.msid.as_ref();
            let owners = [
                self.owner_of_ssrc.get(&source.ssrc),
                msid.and_then(|msid| self.owner_of_msid.get(msid)),
            ];
            owners.into_iter().flatten().any(|other| other != owner)
        })
    }

    /// What an owner would have who had `known`, and nothing else, and got `added`.
    ///
    /// # Errors
    /// If it may not have that.
    pub(crate) fn joined(
        &self,
        owner: &str,
        known: SourceSet,
        added: SourceSet,
        limit: usize,
    ) -> Result<SourceSet, SourceError> {
        let mut seen: BTreeSet<u32> = known.sources.iter().map(|s| s.ssrc).collect();
        for source in &added.sources {
            let other = self.owner_of_ssrc.get(&source.ssrc);
            if other.is_some_and(|other| other != owner) || !seen.insert(source.ssrc) {
                return Err(SourceError::Duplicate(source.ssrc));
            }
            let msid_owner = source
                .msid
                .as_ref()
                .and_then(|msid| self.owner_of_msid.get(msid));
            if msid_owner.is_some_and(|other| other != owner) {
                return Err(SourceError::ForeignMsid(source.ssrc));
            }
        }
        let mut whole = known;
        whole.sources.extend(added.sources);
        for group in added.groups {
            if !whole.groups.contains(&group) {
                whole.groups.push(group);
            }
        }
        if whole.sources.len() > limit || whole.groups.len() > limit {
            return Err(SourceError::TooMany(limit));
        }
        validate(&whole)?;
        Ok(whole)
    }

    /// Removes sources by SSRC and the groups they are in, all or none.
    pub(crate) fn remove(&mut self, owner: &str, removed: &SourceSet) -> Result<(), SourceError> {
        let whole = self.by_owner.get(owner).cloned().unwrap_or_default();
        let whole = whole.without(removed)?;
        self.put(owner, whole);
        Ok(())
    }

    /// Forgets an endpoint.
    pub(crate) fn remove_owner(&mut self, owner: &str) -> Option<SourceSet> {
        let set = self.by_owner.remove(owner)?;
        self.unindex(&set);
        Some(set)
    }

    fn put(&mut self, owner: &str, set: SourceSet) {
        if let Some(old) = self.by_owner.remove(owner) {
            self.unindex(&old);
        }
        if set.is_empty() {
            return;
        }
        for source in &set.sources {
            self.owner_of_ssrc.insert(source.ssrc, owner.to_owned());
            if let Some(msid) = &source.msid {
                self.owner_of_msid.insert(msid.clone(), owner.to_owned());
            }
        }
        self.by_owner.insert(owner.to_owned(), set);
    }

    fn unindex(&mut self, set: &SourceSet) {
        for source in &set.sources {
            self.owner_of_ssrc.remove(&source.ssrc);
            if let Some(msid) = &source.msid {
                self.owner_of_msid.remove(msid);
            }
        }
    }
}

/// Checks the whole set of one endpoint.
fn validate(set: &SourceSet) -> Result<(), SourceError> {
    for group in &set.groups {
        if group.kind == GroupKind::Fid && group.ssrcs.len() != 2 {
            return Err(SourceError::FidSize);
        }
        let mut common: Option<&str> = None;
        for &ssrc in &group.ssrcs {
            let source = set.find(ssrc).ok_or(SourceError::GroupOfUnknown(ssrc))?;
            let msid = source.msid.as_deref().ok_or(SourceError::GroupMsid)?;
            if common.is_some_and(|common| common != msid) {
                return Err(SourceError::GroupMsid);
            }
            common = Some(msid);
        }
    }
    for media in [MediaType::Audio, MediaType::Video] {
        distinct_msids(set, media)?;
    }
    Ok(())
}

/// Each stream, that is each set of sources joined by groups, has a media stream id of its own.
fn distinct_msids(set: &SourceSet, media: MediaType) -> Result<(), SourceError> {
    let mut leader: HashMap<u32, u32> = set.sources.iter().map(|s| (s.ssrc, s.ssrc)).collect();
    for group in &set.groups {
        let Some(first) = group
            .ssrcs
            .first()
            .and_then(|ssrc| leader.get(ssrc))
            .copied()
        else {
            continue;
        };
        let joined: BTreeSet<u32> = group
            .ssrcs
            .iter()
            .filter_map(|ssrc| leader.get(ssrc))
            .copied()
            .collect();
        leader
            .values_mut()
            .filter(|l| joined.contains(l))
            .for_each(|l| *l = first);
    }
    let mut stream_of_msid: HashMap<&str, u32> = HashMap::new();
    for source in set.sources.iter().filter(|s| s.media == media) {
        let (Some(msid), Some(&stream)) = (source.msid.as_deref(), leader.get(&source.ssrc)) else {
            continue;
        };
        if *stream_of_msid.entry(msid).or_insert(stream) != stream {
            return Err(SourceError::SharedMsid(msid.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
