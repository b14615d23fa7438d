"""Every command: where its module is, and the line that `outcrop --help` says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """A command: the module that holds it as `command`, and its one-line help.

    A command with two words, such as `mount status`, stands beside one that is its first word."""

    module: str
    summary: str


@dataclass(frozen=True, slots=True)
class NounPlace:
    """A noun that operators own, with its verbs."""

    summary: str
    verbs: Mapping[str, CommandPlace] = field(default_factory=dict)


Sections = Mapping[str, Mapping[str, CommandPlace | NounPlace]]
"""Commands by name, below the headings of a help page."""

SECTIONS: Sections = {
    "Start here": {
        "demo": CommandPlace("outcrop.cli.demo", "Build, publish, mount and run a small stack, end to end."),
        "demo ladder": CommandPlace(
            "outcrop.cli.demo_ladder", "Run a program by every way, where things are forbidden."
        ),
    },
    "Read a repository": {
        "ls": CommandPlace("outcrop.cli.ls", "List a directory of a repository."),
        "cat": CommandPlace("outcrop.cli.cat", "Write files of a repository to standard output."),
        "find": CommandPlace("outcrop.cli.find", "List what lies below a path of a repository."),
        "stat": CommandPlace("outcrop.cli.stat", "Show everything the catalog says of an entry."),
        "diff": CommandPlace("outcrop.cli.diff", "Show what differs between two revisions of a repository."),
        "checkout": CommandPlace("outcrop.cli.checkout", "Copy a repository, or part of it, into a directory."),
        "mount": CommandPlace("outcrop.cli.mount", "Mount a repository over FUSE."),
        "mount status": CommandPlace("outcrop.cli.mount_status", "Show what is mounted, and how it fares."),
        "mount units": CommandPlace("outcrop.cli.mount_units", "Generate units for systemd or maps for autofs."),
        "umount": CommandPlace("outcrop.cli.umount", "Unmount a repository."),
        "cache": NounPlace(
            "The objects that were fetched: what there is, and how much.",
            {
                "status": CommandPlace("outcrop.cli.cache_status", "Show what the caches hold, and what limits them."),
                "warm": CommandPlace("outcrop.cli.cache_warm", "Fetch what will be read."),
                "evict": CommandPlace("outcrop.cli.cache_evict", "Remove objects from the cache."),
                "verify": CommandPlace("outcrop.cli.cache_verify", "Check every object in the cache."),
            },
        ),
        "config": NounPlace(
            "The settings by which repositories are read.",
            {
                "show": CommandPlace("outcrop.cli.config_show", "Show the settings of a repository and their origins."),
                "list": CommandPlace("outcrop.cli.config_list", "List the repositories that have a name."),
            },
        ),
    },
    "Run its software": {
        "doctor": CommandPlace("outcrop.cli.doctor", "Say which ways of showing a repository work here, and why."),
        "run": CommandPlace("outcrop.cli.run", "Run a command that sees a repository, the best way there is."),
        "detect": CommandPlace("outcrop.cli.detect", "Say which software target fits this machine, and why."),
        "trace": CommandPlace("outcrop.cli.trace", "Record what a program reads of a repository."),
        "pack": CommandPlace("outcrop.cli.pack", "Make an image of what a program needs."),
        "relocate": CommandPlace("outcrop.cli.relocate", "Make copied programs run from another place."),
    },
    "Build and publish": {
        "repo": NounPlace(
            "Own a repository: create it, publish into it, serve it.",
            {
                "create": CommandPlace("outcrop.cli.repo_create", "Create keys and an empty signed repository."),
                "ingest": CommandPlace("outcrop.cli.repo_ingest", "Publish a directory or tarball as one revision."),
                "transaction": CommandPlace("outcrop.cli.repo_transaction", "Open a writable view of a repository."),
                "publish": CommandPlace(
                    "outcrop.cli.repo_publish", "Make one revision of what a transaction has changed."
                ),
                "abort": CommandPlace("outcrop.cli.repo_abort", "Throw a transaction away."),
                "log": CommandPlace("outcrop.cli.repo_log", "List the revisions, newest first: the changelog."),
                "diff": CommandPlace("outcrop.cli.repo_diff", "Show what differs between two revisions."),
                "tag": CommandPlace("outcrop.cli.repo_tag", "Give a revision a name, or take the name away."),
                "rollback": CommandPlace("outcrop.cli.repo_rollback", "Publish the tree of an older revision again."),
                "catalogs": CommandPlace(
                    "outcrop.cli.repo_catalogs", "Draw the tree of catalogs, and say which are too big."
                ),
                "policy": CommandPlace("outcrop.cli.repo_policy", "Show what is promised to users, and test a path."),
                "retire": CommandPlace("outcrop.cli.repo_retire", "Announce that something will go, and take it away."),
                "keys": CommandPlace("outcrop.cli.repo_keys", "Show the keys and when what they sign expires."),
                "refresh": CommandPlace("outcrop.cli.repo_refresh", "Sign the freshness record anew."),
                "resign": CommandPlace("outcrop.cli.repo_resign", "Sign the whitelist anew before it expires."),
                "rotate": CommandPlace("outcrop.cli.repo_rotate", "Replace the signing key or the master key."),
                "check": CommandPlace("outcrop.cli.repo_check", "Look for anything missing, damaged or inconsistent."),
                "repair": CommandPlace("outcrop.cli.repo_repair", "Fetch damaged objects from a mirror."),
                "gc": CommandPlace("outcrop.cli.repo_gc", "Remove what no kept revision needs."),
                "serve": CommandPlace("outcrop.cli.repo_serve", "Serve repositories over HTTP, for trying things out."),
            },
        ),
        "stack": NounPlace(
            "Own a stack: build its software and publish it.",
            {
                "build": CommandPlace("outcrop.cli.stack_build", "Build an easystack with EasyBuild for one target."),
            },
        ),
        "compat": NounPlace(
            "Own a compatibility layer: build it, prove it, publish it.",
            {
                "plan": CommandPlace("outcrop.cli.compat_plan", "Show what a layer will be made of."),
                "build": CommandPlace("outcrop.cli.compat_build", "Build a layer for one family."),
                "rebuild": CommandPlace("outcrop.cli.compat_rebuild", "Build a layer again from its lock."),
                "audit": CommandPlace("outcrop.cli.compat_audit", "Say which packages of a layer have known faults."),
                "update": CommandPlace("outcrop.cli.compat_update", "Make a lock with the packages that mend faults."),
                "verify": CommandPlace("outcrop.cli.compat_verify", "Prove that a layer is what it promises."),
                "abi": CommandPlace("outcrop.cli.compat_abi", "Say what breaks when a layer replaces another."),
                "publish": CommandPlace("outcrop.cli.compat_publish", "Publish a finished layer."),
                "promote": CommandPlace("outcrop.cli.compat_promote", "Publish a tested layer, by its digest."),
                "rollback": CommandPlace("outcrop.cli.compat_rollback", "Publish the layer that was there before."),
            },
        ),
        "sources": NounPlace(
            "Own a mirror of source files.",
            {
                "fetch": CommandPlace("outcrop.cli.sources_fetch", "Fill the mirror with an easystack's sources."),
            },
        ),
    },
    "Outcrop itself": {
        "help": CommandPlace("outcrop.cli.help", "Show the help page of a command."),
        "completion": CommandPlace("outcrop.cli.completion", "Print the completion script for bash, zsh or fish."),
    },
}
"""The top of the tree, as `outcrop --help` shows it."""
