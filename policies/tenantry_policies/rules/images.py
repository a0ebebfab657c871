"""What runs: images from places that the cell trusts, under names whose content does not change."""

from __future__ import annotations

from tenantry_policies.rule import Findings, Rule, Sentences, resource_rule, stack_rule
from tenantry_policies.view import POD_OWNERS, Resource, Stack

__all__ = ["IMAGE_SOURCES", "RULES"]

IMAGE_SOURCES = "tenantry.dev/image-sources"
"""Annotation of a namespace: from where its images may come, as host or host/path, separated by commas."""


@resource_rule(*POD_OWNERS)
def floating_image(owner: Resource) -> Sentences:
    """An image has the tag of a release, or a digest.

    Under `latest`, or no tag, tomorrow's pod is another program than today's, and going back is impossible.
    """
    for container in owner.containers:
        image = str(container.get("image") or "")
        last = image.rpartition("/")[2]
        if "@" not in last and (":" not in last or last.endswith(":latest")):
            yield (
                f"the image {image!r} of container {container.get('name')} can change under the same name; give it "
                f"the tag of a release, or a digest"
            )


@stack_rule()
def foreign_image(stack: Stack) -> Findings:
    """Images come from the sources that the cell allows, which its namespaces carry as an annotation.

    The default are the public registries that the catalogue uses. A cell with a registry of its own
    (`spec.images.registry`) allows that one alone; `spec.images.sources` in the cell file names others.
    """
    for owner in stack.of(*POD_OWNERS):
        namespace = stack.namespaces.get(owner.namespace)
        if namespace is None:
            continue
        sources = [one for one in str(namespace.annotations.get(IMAGE_SOURCES) or "").split(",") if one]
        for container in owner.containers:
            image = str(container.get("image") or "")
            if not any(_full(image).startswith(f"{source}/") for source in sources):
                yield (
                    owner,
                    (
                        f"the image {image!r} of container {container.get('name')} comes from no source of the cell "
                        f"({', '.join(sources) or 'none are named'}); take it from there, or add its source to "
                        f"spec.images.sources of the cell file"
                    ),
                )


def _full(image: str) -> str:
    """The name with its registry: what names none is on Docker Hub."""
    host, slash, _ = image.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return image
    return f"docker.io/{image}"


RULES: tuple[Rule, ...] = (floating_image, foreign_image)
