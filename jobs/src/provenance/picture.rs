//! A small picture of a person's identifiers as SVG: a row for each rank, links and commands
//! between identifiers, claims from weaker clusters to their owners. What does not count is grey,
//! with the reason in its title.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::said::{ClaimSaid, CommandSaid, IdentifierSaid, LinkSaid, Name, PersonSaid};

/// Identifiers that are drawn by themselves at most; of the others there is a box for each rank.
const DRAWN_MAX: usize = 50;
/// Identifiers beside each other at most.
const BESIDE_MAX: usize = 6;
/// Sizes of a box and the space around it, in pixels.
const WIDTH: f64 = 150.0;
const HEIGHT: f64 = 40.0;
const ACROSS: f64 = 190.0;
const DOWN: f64 = 110.0;
/// Space at the left, where ranks are named, and above, for the title.
const LEFT: f64 = 90.0;
const HEAD: f64 = 60.0;
/// Below the last row, for the legend.
const FOOT: f64 = 50.0;
/// Digits of a token that are shown.
const DIGITS: usize = 10;

const COUNTS: &str = "#3b6ea5";
const GREY: &str = "#a8a8a8";
const MERGE: &str = "#2e8b57";
const UNMERGE: &str = "#c0392b";

/// Where something is drawn: the middle of its box.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Spot {
    x: f64,
    y: f64,
}

/// A line between two boxes.
struct Edge<'a> {
    ends: (Spot, Spot),
    colour: &'a str,
    dashes: &'a str,
    label: String,
    title: String,
}

struct Picture<'a> {
    said: &'a PersonSaid,
    spots: BTreeMap<&'a Name, Spot>,
    /// For each rank how many identifiers are not drawn, and where that is said.
    rest: Vec<(u8, usize, Spot)>,
    /// Where each rank begins.
    ranks: Vec<(u8, f64)>,
    width: f64,
    height: f64,
    out: String,
}

impl PersonSaid {
    /// A picture of the identifiers as SVG.
    pub fn picture(&self) -> String {
        let mut picture = Picture::new(self);
        picture.draw();
        picture.out
    }
}

/// Those that are drawn by themselves: the person's own, then those of most events.
fn drawn(said: &PersonSaid) -> Vec<&IdentifierSaid> {
    let part = |said: &IdentifierSaid| match said.part {
        "own" => 0,
        "claimed" => 1,
        _ => 2,
    };
    let mut all: Vec<&IdentifierSaid> = said.identifiers.iter().collect();
    all.sort_by_key(|said| (part(said), std::cmp::Reverse(said.events), &said.name));
    all.truncate(DRAWN_MAX);
    all
}

impl<'a> Picture<'a> {
    fn new(said: &'a PersonSaid) -> Self {
        let drawn = drawn(said);
        let mut ranks: BTreeMap<u8, (Vec<&Name>, usize)> = BTreeMap::new();
        for identifier in &said.identifiers {
            let rank = ranks.entry(identifier.rank).or_default();
            if drawn.iter().any(|drawn| drawn.name == identifier.name) {
                rank.0.push(&identifier.name);
            } else {
                rank.1 += 1;
            }
        }
        let mut picture = Self {
            said,
            spots: BTreeMap::new(),
            rest: Vec::new(),
            ranks: Vec::new(),
            width: LEFT + ACROSS * BESIDE_MAX as f64,
            height: 0.0,
            out: String::new(),
        };
        let mut top = HEAD;
        for (rank, (names, left_out)) in ranks {
            picture.ranks.push((rank, top));
            let boxes = names.len() + usize::from(left_out > 0);
            let spot = |place: usize| Spot {
                x: LEFT + ACROSS * ((place % BESIDE_MAX) as f64 + 0.5),
                y: top + DOWN * (place / BESIDE_MAX) as f64 + HEIGHT / 2.0,
            };
            picture
                .spots
                .extend(names.iter().enumerate().map(|(place, name)| (*name, spot(place))));
            if left_out > 0 {
                picture.rest.push((rank, left_out, spot(names.len())));
            }
            top += DOWN * boxes.div_ceil(BESIDE_MAX) as f64;
        }
        picture.height = top + FOOT;
        picture
    }

    fn draw(&mut self) {
        let Self { said, width, height, .. } = *self;
        let title = format!(
            "person {}, tenant {}, as known after epoch {}",
            said.person_id, said.tenant, said.upto
        );
        // Writing to a string can't fail.
        let _ = writeln!(
            self.out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
        );
        self.text(Spot { x: 12.0, y: 24.0 }, "start", 15, &title);
        for (rank, top) in std::mem::take(&mut self.ranks) {
            let at = Spot { x: 12.0, y: top + HEIGHT / 2.0 + 4.0 };
            self.text(at, "start", 12, &format!("rank {rank}"));
        }
        for edge in self.links().into_iter().chain(self.claims()).chain(self.commands()) {
            self.edge(&edge);
        }
        for identifier in &said.identifiers {
            if let Some(spot) = self.spots.get(&identifier.name) {
                self.identifier(*spot, identifier);
            }
        }
        for (rank, count, spot) in std::mem::take(&mut self.rest) {
            let lines = [format!("and {count} more"), format!("of rank {rank}")];
            let title = "those of fewer events; the text and JSON have all";
            self.boxed(spot, ("none", GREY, "2 3"), &lines, title);
        }
        let legend = format!(
            "full: links, with how many events; dashed: claims, with their times; {} events of the \
             person; grey: does not count",
            said.events.len()
        );
        self.text(Spot { x: 12.0, y: height - 16.0 }, "start", 12, &legend);
        self.out.push_str("</svg>\n");
    }

    fn ends(&self, x: &Name, y: &Name) -> Option<(Spot, Spot)> {
        Some((*self.spots.get(x)?, *self.spots.get(y)?))
    }

    fn links(&self) -> Vec<Edge<'static>> {
        let edge = |link: &LinkSaid| {
            let count = link.witnesses.len();
            let holds =
                if link.only { "nothing else holds its two sides together" } else { "a link" };
            let why = link.why.as_deref().unwrap_or(holds);
            Some(Edge {
                ends: self.ends(&link.x, &link.y)?,
                colour: if link.counts { COUNTS } else { GREY },
                dashes: "",
                label: format!("{count}x"),
                title: format!("{} - {}, {count} events: {why}", link.x.words(), link.y.words()),
            })
        };
        self.said.links.iter().filter_map(edge).collect()
    }

    /// All claims of an owner on a cluster are one line.
    fn claims(&self) -> Vec<Edge<'static>> {
        let mut pairs: BTreeMap<(&Name, &Name, bool), Vec<&ClaimSaid>> = BTreeMap::new();
        for claim in &self.said.claims {
            pairs.entry((&claim.cluster, &claim.owner, claim.counts)).or_default().push(claim);
        }
        let edge = |((cluster, owner, counts), claims): ((&Name, &Name, bool), Vec<&ClaimSaid>)| {
            let day = |at: &Option<String>| {
                at.as_ref().map_or("...".to_owned(), |at| at.chars().take(16).collect())
            };
            let span = |claim: &&ClaimSaid| match &claim.why {
                Some(why) => why.clone(),
                None => format!("{} to {}", day(&claim.from), day(&claim.until)),
            };
            let spans: Vec<String> = claims.iter().map(span).collect();
            let label = match (counts, spans.as_slice()) {
                (false, _) => "no claim".to_owned(),
                (true, [one]) => one.clone(),
                (true, several) => format!("{} spans", several.len()),
            };
            Some(Edge {
                ends: self.ends(cluster, owner)?,
                colour: if counts { COUNTS } else { GREY },
                dashes: "6 4",
                label,
                title: format!("{} is {}'s: {}", cluster.words(), owner.words(), spans.join("; ")),
            })
        };
        pairs.into_iter().filter_map(edge).collect()
    }

    fn commands(&self) -> Vec<Edge<'static>> {
        let edge = |command: &CommandSaid| {
            let colour = match (command.counts, command.kind) {
                (false, _) => GREY,
                (true, "merge") => MERGE,
                (true, _) => UNMERGE,
            };
            let why = command.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let words = command.record.words();
            Some(Edge {
                ends: self.ends(&command.x, &command.y)?,
                colour,
                dashes: if command.kind == "merge" { "" } else { "2 4" },
                label: command.kind.to_owned(),
                title: format!("{} {words}{why}", command.kind),
            })
        };
        self.said.commands.iter().filter_map(edge).collect()
    }

    /// A line, which goes below what stands beside each other.
    fn edge(&mut self, edge: &Edge<'_>) {
        let Edge { ends: (a, b), colour, dashes, label, title } = edge;
        let level = (a.y - b.y).abs() < 1.0;
        let (from, to) = if level {
            let below = HEIGHT / 2.0;
            (Spot { y: a.y + below, ..*a }, Spot { y: b.y + below, ..*b })
        } else {
            let side = if a.y > b.y { -HEIGHT / 2.0 } else { HEIGHT / 2.0 };
            (Spot { y: a.y + side, ..*a }, Spot { y: b.y - side, ..*b })
        };
        let bulge = if level { 16.0 + (a.x - b.x).abs() * 0.06 } else { 0.0 };
        let middle = Spot { x: f64::midpoint(from.x, to.x), y: f64::midpoint(from.y, to.y) };
        let (x, y) = (middle.x, middle.y + 2.0 * bulge);
        let _ = writeln!(
            self.out,
            "<path d=\"M {:.1} {:.1} Q {x:.1} {y:.1} {:.1} {:.1}\" fill=\"none\" \
             stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"{dashes}\">\
             <title>{}</title></path>",
            from.x,
            from.y,
            to.x,
            to.y,
            escaped(title)
        );
        let at = Spot { x: middle.x, y: middle.y + bulge + 4.0 };
        let _ = writeln!(
            self.out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\" \
             fill=\"{colour}\" stroke=\"white\" stroke-width=\"3\" \
             paint-order=\"stroke\">{}</text>",
            at.x,
            at.y,
            escaped(label)
        );
    }

    fn identifier(&mut self, spot: Spot, said: &IdentifierSaid) {
        let (fill, dashes) = match (said.part, said.public) {
            ("own", _) => ("#dce9f5", ""),
            ("claimed", _) => ("#f3f8fc", ""),
            (_, true) => ("#fbeeee", "2 3"),
            (_, false) => ("#f4f4f4", "2 3"),
        };
        let stroke = match (said.public, said.part) {
            (true, _) => UNMERGE,
            (false, "seen") => GREY,
            (false, _) => COUNTS,
        };
        let token: String = said.name.token.chars().take(DIGITS).collect();
        let public = if said.public { ", public" } else { "" };
        let lines = [format!("{}{public}", said.name.kind), format!("{token} ({}x)", said.events)];
        let why = said.why.as_ref().map(|why| format!("; public: {why}")).unwrap_or_default();
        let title = format!(
            "{}, {} events; leads to person {} now{why}",
            said.name.words(),
            said.events,
            said.person_id
        );
        self.boxed(spot, (fill, stroke, dashes), &lines, &title);
    }

    fn boxed(
        &mut self,
        spot: Spot,
        (fill, stroke, dashes): (&str, &str, &str),
        lines: &[String; 2],
        title: &str,
    ) {
        let (x, y) = (spot.x - WIDTH / 2.0, spot.y - HEIGHT / 2.0);
        let _ = writeln!(
            self.out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\" \
             fill=\"{fill}\" stroke=\"{stroke}\" stroke-dasharray=\"{dashes}\">\
             <title>{}</title></rect>",
            escaped(title)
        );
        self.text(Spot { y: spot.y - 4.0, ..spot }, "middle", 12, &lines[0]);
        self.text(Spot { y: spot.y + 12.0, ..spot }, "middle", 11, &lines[1]);
    }

    fn text(&mut self, at: Spot, anchor: &str, size: u8, text: &str) {
        let _ = writeln!(
            self.out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{}</text>",
            at.x,
            at.y,
            escaped(text)
        );
    }
}

fn escaped(text: &str) -> String {
    let plain = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    plain.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::said::Witness;
    use super::*;

    fn name(rank: u8, number: usize) -> Name {
        Name { kind: format!("t{rank}<"), token: format!("{number:032x}") }
    }

    fn witness() -> Witness {
        Witness {
            message_id: "m&1".to_owned(),
            time: "2026-01-05T10:00:00Z".to_owned(),
            source: "web".to_owned(),
            partition: 0,
            offset: 1,
            part: "web.ndjson".to_owned(),
        }
    }

    /// A person with an identifier of rank 0 and a number of them of rank 1.
    fn person(count: usize) -> PersonSaid {
        let identifier = |rank, number| IdentifierSaid {
            name: name(rank, number),
            rank,
            part: if rank == 0 { "own" } else { "claimed" },
            cluster: name(rank, 0),
            public: false,
            why: None,
            person_id: "p".to_owned(),
            events: number as u64,
            first: None,
            last: None,
        };
        let link = |number| LinkSaid {
            x: name(1, number),
            y: name(1, number + 1),
            counts: number % 2 == 0,
            only: false,
            why: (number % 2 == 1).then(|| "an unmerge".to_owned()),
            witnesses: vec![witness(); 3],
        };
        let mut identifiers = vec![identifier(0, 0)];
        identifiers.extend((0..count).map(|number| identifier(1, number)));
        PersonSaid {
            person_id: "p".to_owned(),
            tenant: "a & b".to_owned(),
            asked: None,
            upto: 7,
            job: "j".to_owned(),
            version: "v".to_owned(),
            file: "f".to_owned(),
            rules: Vec::new(),
            cluster_max: None,
            blocked: Vec::new(),
            identifiers,
            links: (0..count.saturating_sub(1)).map(link).collect(),
            claims: vec![ClaimSaid {
                cluster: name(1, 0),
                owner: name(0, 0),
                person_id: "p".to_owned(),
                counts: true,
                why: None,
                from: None,
                until: Some("2026-01-05T10:00:00Z".to_owned()),
                witnesses: vec![witness()],
            }],
            commands: vec![CommandSaid {
                kind: "unmerge",
                x: name(1, 0),
                y: name(1, 1),
                counts: true,
                why: None,
                record: witness(),
            }],
            id_changes: Vec::new(),
            events: Vec::new(),
            shadowed: Vec::new(),
        }
    }

    /// Every element ends, in the order in which they began.
    fn well_formed(svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("a tag ends");
            assert!(
                !text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").contains('&')
            );
            let word = tag.split(' ').next().unwrap_or_default();
            match word.strip_prefix('/') {
                Some(word) => assert_eq!(open.pop(), Some(word)),
                None if tag.ends_with('/') => {}
                None => open.push(word),
            }
        }
        assert!(open.is_empty(), "{open:?}");
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn each_identifier_link_and_claim_is_there() {
        let svg = person(9).picture();
        well_formed(&svg);
        assert_eq!(svg.matches("rx=\"6\"").count(), 10);
        assert_eq!(svg.matches("<path").count(), 8 + 1 + 1);
        assert_eq!(svg.matches(">3x</text>").count(), 8);
        assert!(svg.contains("... to 2026-01-05T10:00</text>"), "{svg}");
        assert!(svg.contains("tenant a &amp; b"));
        assert!(svg.contains(&format!("stroke=\"{GREY}\" stroke-width=\"1.5\"")));
    }

    #[test]
    fn of_many_identifiers_those_with_most_events_are_drawn() {
        let svg = person(120).picture();
        well_formed(&svg);
        assert_eq!(svg.matches("rx=\"6\"").count(), DRAWN_MAX + 1);
        assert!(svg.contains("and 71 more"));
        assert!(svg.contains(&format!("{:032x}", 119)) && !svg.contains(&format!("{:032x}", 3)));
    }

    /// Boxes don't lie over each other.
    #[test]
    fn boxes_have_room() {
        let said = person(49);
        let picture = Picture::new(&said);
        let spots: Vec<Spot> = picture.spots.values().copied().collect();
        for (place, a) in spots.iter().enumerate() {
            for b in &spots[place + 1..] {
                assert!((a.x - b.x).abs() > WIDTH || (a.y - b.y).abs() > HEIGHT, "{a:?} {b:?}");
            }
            assert!(a.x + WIDTH / 2.0 < picture.width && a.y + HEIGHT < picture.height);
        }
    }
}
