"""A site with stock configuration files of the shapes that real packages have, in directories of a test's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from outcrop.cvmfs.names import RepositoryName
from tests.client.published import Published, directory_entry, keys, link_entry

DEFAULT_CONF = """
# Comments, then plain values, then a part that later files must not change.
CVMFS_CLIENT_PROFILE=
CVMFS_CACHE_BASE=/var/lib/cvmfs
CVMFS_QUOTA_LIMIT=4000
CVMFS_TIMEOUT=5
CVMFS_TIMEOUT_DIRECT=10
CVMFS_STRICT_MOUNT=no
CVMFS_SHARED_CACHE=yes
CVMFS_CLAIM_OWNERSHIP=yes
CVMFS_KEYS_DIR=/etc/cvmfs/keys
CVMFS_MAX_RETRIES=1
CVMFS_USE_GEOAPI=no
if [ "x$CVMFS_BASE_ENV" = "x" ]; then
  readonly CVMFS_USER=cvmfs
  readonly CVMFS_MOUNT_DIR={mount}
  readonly CVMFS_BASE_ENV=1
fi
"""
"""As the stock client installs it."""

DISTRIBUTION_CONF = """
CVMFS_CONFIG_REPO_DEFAULT_ENV=
if [ -f /etc/no_such_version ] && grep -q "old\\|older" /etc/no_such_version;
then
    :
else
    CVMFS_CONFIG_REPOSITORY=config.example.org
fi
CVMFS_DEFAULT_DOMAIN=example.org
"""
"""As a distribution's package has it: with a configuration repository, except on old systems."""

CONFIG_REPOSITORY_CONF = """
if [ "$CVMFS_CLIENT_PROFILE" = "single" ]; then
  if [ "$CVMFS_HTTP_PROXY" = "" ]; then
    CVMFS_HTTP_PROXY="auto;DIRECT"
  fi
fi
CVMFS_SERVER_URL="{server}"
CVMFS_PUBLIC_KEY=/etc/cvmfs/keys/config.pub
"""
"""How the configuration repository itself is found."""

COMMON_CONF = """
if [ "$CVMFS_CLIENT_PROFILE" = "single" ]; then
  if [ "$CVMFS_HTTP_PROXY" = "" ]; then
    CVMFS_HTTP_PROXY="auto;DIRECT"
  fi
fi
if [ -z "$CVMFS_USE_CDN" ]; then
  if [ "$CVMFS_HTTP_PROXY" = "DIRECT" ] || [ "$CVMFS_HTTP_PROXY" = "auto;DIRECT" ]; then
    CVMFS_USE_CDN=yes
  fi
fi
if [ "$CVMFS_USE_CDN" != "yes" ] && [ "$CVMFS_CLIENT_PROFILE" != "custom" ]; then
  CVMFS_FALLBACK_PROXY="http://backup1.example.org:3126;http://backup2.example.org:3126"
fi
"""
"""What the domains of a configuration repository share."""

DOMAIN_CONF = """
CVMFS_USE_CDN="$CVMFS_USE_CDN"
CVMFS_HTTP_PROXY="$CVMFS_HTTP_PROXY"
CVMFS_FALLBACK_PROXY="$CVMFS_FALLBACK_PROXY"
. ../common.conf

if [ "$CVMFS_USE_CDN" = "yes" ]; then
    CVMFS_SERVER_URL="http://cdn1.example.org/cvmfs/@fqrn@"
    CVMFS_SERVER_URL="$CVMFS_SERVER_URL;http://cdn2.example.org/cvmfs/@fqrn@"
else
    CVMFS_SERVER_URL="http://s1.example.org:8000/cvmfs/@fqrn@;http://s2.example.org/opt/@org@"
fi
CVMFS_KEYS_DIR="$CVMFS_MOUNT_DIR/$CVMFS_CONFIG_REPOSITORY/etc/cvmfs/keys/example.org"
CVMFS_USE_GEOAPI=yes
"""
"""A domain of a configuration repository."""

LOCAL_DOMAIN_CONF = """
if [ "$CVMFS_CONFIG_REPO_DEFAULT_ENV" = "" ]; then
  CVMFS_SERVER_URL='http://local.example.org/cvmfs/@fqrn@'
  CVMFS_KEYS_DIR=/etc/cvmfs/keys/example.org
fi
"""
"""The same domain as files of a package, for machines without the configuration repository."""


@dataclass(frozen=True)
class Site:
    """Stock configuration files below `etc`; `mount` stands for `/cvmfs`."""

    etc: Path
    mount: Path

    def write(self, files: Mapping[str, str]) -> Site:
        """Adds files by name below `etc`."""
        for name, text in files.items():
            path = self.etc / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return self


def plain_site(directory: Path, **files: str) -> Site:
    """A site with what the stock client itself installs, and a key for `example.org`."""
    site = Site(directory / "etc/cvmfs", directory / "mounts")
    site.write({"default.conf": DEFAULT_CONF.replace("{mount}", str(site.mount)), **files})
    site.write({"keys/example.org/one.pub": keys().public_pem.decode(), "keys/config.pub": keys().public_pem.decode()})
    return site


def site_with_configuration_repository(directory: Path, server: str, **files: str) -> Site:
    """The same with a configuration repository at `server`."""
    site = plain_site(directory, **files)
    return site.write(
        {
            "default.d/50-distribution.conf": DISTRIBUTION_CONF,
            "config.d/config.example.org.conf": CONFIG_REPOSITORY_CONF.replace("{server}", server),
        }
    )


def configuration_repository(revision: int = 1, domain_conf: str = DOMAIN_CONF) -> Published:
    """A configuration repository, published: a domain, a link to it, a link out of it, shared settings and a key."""
    published = Published(revision=revision, name=RepositoryName("config.example.org"))
    root = published.catalog(
        {
            b"/etc": directory_entry(b"etc"),
            b"/etc/cvmfs": directory_entry(b"cvmfs"),
            b"/etc/cvmfs/common.conf": published.file(b"common.conf", COMMON_CONF.encode()),
            b"/etc/cvmfs/default.conf": published.file(b"default.conf", b"CVMFS_SEND_INFO_HEADER=yes\n"),
            b"/etc/cvmfs/domain.d": directory_entry(b"domain.d"),
            b"/etc/cvmfs/domain.d/example.org.conf": published.file(b"example.org.conf", domain_conf.encode()),
            b"/etc/cvmfs/domain.d/linked.org.conf": link_entry(b"linked.org.conf", b"example.org.conf"),
            b"/etc/cvmfs/domain.d/out.org.conf": link_entry(b"out.org.conf", b"/etc/hostname"),
            b"/etc/cvmfs/keys": directory_entry(b"keys"),
            b"/etc/cvmfs/keys/example.org": directory_entry(b"example.org"),
            b"/etc/cvmfs/keys/example.org/two.pub": published.file(b"two.pub", keys().public_pem),
            b"/etc/cvmfs/blacklist": published.file(b"blacklist", b"<bad.example.org 7\n"),
            b"/other": published.file(b"other", b"not a configuration"),
        }
    )
    return published.sign(root)
