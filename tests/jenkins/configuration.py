"""Checks of `jenkins/`: each reads the folder of a repository and answers with what is wrong in it, so that tests can break a copy.

The tables say which plugin brings what is used. They are compared in both directions: what is used and not listed is as wrong as
what is listed and not used. They come from the plugins' own sources; no controller was there to load any of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from itertools import combinations, groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from pipeline.settings import SECRETS, Settings

CORE = "core"
PIN = re.compile(r"[a-z0-9-]+:[0-9][A-Za-z0-9._-]*")
VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)[:}]")
# What a secret may be in YAML: a variable, as it is or decoded.
SECRET_VALUE = re.compile(r"\$\{[A-Z][A-Z0-9_]*\}|\$\{decodeBase64:\$\{[A-Z][A-Z0-9_]*\}\}")
SECRET_KEY = re.compile(r"(password|passphrase|secret|secretbytes|token|apikey|accesskey|privatekey)$", re.IGNORECASE)
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|KEY")
# Beginnings of keys and tokens that are no longer any variable's name.
SECRET_TEXT = re.compile(r"-----BEGIN|\bgh[pousr]_\w{10}|\bglpat-|\bAKIA[0-9A-Z]{12}|\{AQAA")
ROOTS = {"jenkins", "credentials", "unclassified", "security", "jobs", "tool"}
# Lists that more than one file may add to: configuration-as-code appends the entries of the later file.
EXTENDED = {"jenkins.authorizationStrategy.globalMatrix.entries", "jenkins.clouds", "credentials.system.domainCredentials"}
REALMS = ("users", "sso")  # options that exclude each other
ROLES = ("admins", "promoters", "developers", "readers", "hooks")
STATE = "/var/lib/slipway"

DECLARATIVE, BASIC, GITHUB = "pipeline-model-definition", "workflow-basic-steps", "github-branch-source"
STRATEGIES, FOLDERS = "basic-branch-build-strategies", "cloudbees-folder"


def by_word(words: Mapping[str, str]) -> dict[str, str]:
    return {word: plugin for plugin, names in words.items() for word in names.split()}


STEPS = by_word(
    {
        DECLARATIVE: "pipeline agent none options parameters environment stages stage when steps parallel failFast label"
        " beforeAgent beforeOptions beforeInput input id message ok submitter submitterParameter branch buildingTag equals"
        " not anyOf post always",
        CORE: "choice string buildDiscarder logRotator",
        BASIC: "timeout catchError echo archiveArtifacts",
        "workflow-durable-task-step": "sh node",
        "workflow-scm-step": "checkout",
        "credentials-binding": "credentials",
        "junit": "junit",
        "lockable-resources": "lock",
        "pipeline-milestone-step": "milestone",
        "timestamper": "timestamps",
    }
)
SEED = by_word(
    {
        FOLDERS: "folder discardOldItems daysToKeep numToKeep periodicFolderTrigger interval",
        "job-dsl": "description branchSources branchSource source id buildStrategies orphanedItemStrategy triggers",
        "workflow-multibranch": "multibranchPipelineJob factory workflowBranchProjectFactory scriptPath",
        GITHUB: "github repoOwner repository repositoryUrl configuredByUrl credentialsId traits gitHubBranchDiscovery"
        " gitHubTagDiscovery gitHubPullRequestDiscovery strategyId",
        STRATEGIES: "buildRegularBranches buildChangeRequests ignoreTargetOnlyChanges ignoreUntrustedChanges buildTags atLeastDays"
        " atMostDays",
    }
)
# Class of a job's XML -> plugin, by the beginning of its name.
CLASSES = {
    "org.jenkinsci.plugins.workflow.multibranch.": "workflow-multibranch",
    "com.cloudbees.hudson.plugins.folder.": FOLDERS,
    "jenkins.branch.buildstrategies.basic.": STRATEGIES,
    "jenkins.branch.": "branch-api",
    "jenkins.plugins.git.": "git",
}
# Plugins that nothing names, and what they are for.
UNNAMED = {
    "configuration-as-code": "reads casc/ and options/",
    "pipeline-graph-view": "shows a build's stages",
    "pipeline-input-step": "is the `input` that the directive of that name runs",
    "pipeline-rest-api": "answers the command line's questions for stages and inputs",
    "script-security": "is the sandbox of the Jenkinsfile",
    "workflow-cps": "runs the Jenkinsfile",
    "workflow-job": "is the job of a branch",
}
# Where in the YAML -> whose it is, and the keys that may be there.
_TEMPLATE, _CREDENTIALS = "jenkins.clouds[].docker.templates[]", "credentials.system.domainCredentials[].credentials[]"
_AMAZON = "jenkins.clouds[].amazonEC2"
_ENTRY = "jenkins.authorizationStrategy.globalMatrix.entries[]"
KEYS = {
    "jenkins": (
        CORE,
        "systemMessage numExecutors mode quietPeriod scmCheckoutRetryCount slaveAgentPort noUsageStatistics crumbIssuer"
        " authorizationStrategy securityRealm clouds",
    ),
    "tool": (CORE, "git"),
    "tool.git": ("git", "installations"),
    "tool.git.installations[]": ("git", "name home"),
    "jenkins.crumbIssuer": (CORE, "standard"),
    "jenkins.crumbIssuer.standard": (CORE, "excludeClientIPFromCrumb"),
    "jenkins.securityRealm": (CORE, "local oic"),
    "jenkins.securityRealm.local": (CORE, "allowsSignup users"),
    "jenkins.securityRealm.local.users[]": (CORE, "id password"),
    "jenkins.securityRealm.oic": (
        "oic-auth",
        "clientId clientSecret serverConfiguration userNameField fullNameFieldName emailFieldName groupsFieldName"
        " allowTokenAccessWithoutOicSession",
    ),
    "jenkins.securityRealm.oic.serverConfiguration": ("oic-auth", "wellKnown"),
    "jenkins.securityRealm.oic.serverConfiguration.wellKnown": ("oic-auth", "wellKnownOpenIDConfigurationUrl"),
    "jenkins.authorizationStrategy": ("matrix-auth", "globalMatrix"),
    "jenkins.authorizationStrategy.globalMatrix": ("matrix-auth", "entries"),
    _ENTRY: ("matrix-auth", "group user"),
    f"{_ENTRY}.group": ("matrix-auth", "name permissions"),
    f"{_ENTRY}.user": ("matrix-auth", "name permissions"),
    "jenkins.clouds[]": (CORE, "docker amazonEC2"),
    "jenkins.clouds[].docker": ("docker-plugin", "name containerCap dockerApi templates"),
    "jenkins.clouds[].docker.dockerApi": ("docker-plugin", "connectTimeout readTimeout dockerHost"),
    "jenkins.clouds[].docker.dockerApi.dockerHost": ("docker-plugin", "uri"),
    _TEMPLATE: (
        "docker-plugin",
        "name labelString mode instanceCapStr remoteFs removeVolumes retentionStrategy connector dockerTemplateBase",
    ),
    f"{_TEMPLATE}.retentionStrategy": ("docker-plugin", "idleMinutes"),
    f"{_TEMPLATE}.connector": ("docker-plugin", "attach"),
    f"{_TEMPLATE}.connector.attach": ("docker-plugin", "user javaExe"),
    f"{_TEMPLATE}.dockerTemplateBase": (
        "docker-plugin",
        "image pullCredentialsId network extraGroupsString mounts environmentsString",
    ),
    _AMAZON: ("ec2", "name region useInstanceProfileForCredentials sshKeysCredentialsId templates"),
    f"{_AMAZON}.templates[]": (
        "ec2",
        "description labelString mode ami type numExecutors maxTotalUses idleTerminationMinutes remoteFS remoteAdmin javaPath"
        " securityGroups subnetId connectionStrategy hostKeyVerificationStrategy metadataEndpointEnabled metadataTokensRequired"
        " metadataHopsLimit ebsEncryptRootVolume deleteRootOnTermination spotConfig amiType",
    ),
    f"{_AMAZON}.templates[].spotConfig": ("ec2", "useBidPrice fallbackToOndemand"),
    f"{_AMAZON}.templates[].amiType": ("ec2", "unixData"),
    f"{_AMAZON}.templates[].amiType.unixData": ("ec2", "sshPort"),
    "security": (CORE, "apiToken globalJobDslSecurityConfiguration gitHostKeyVerificationConfiguration"),
    "security.apiToken": (CORE, "creationOfLegacyTokenEnabled tokenGenerationOnCreationEnabled usageStatisticsEnabled"),
    "security.globalJobDslSecurityConfiguration": ("job-dsl", "useScriptSecurity"),
    "security.gitHostKeyVerificationConfiguration": ("git-client", "sshHostKeyVerificationStrategy"),
    "unclassified": (
        CORE,
        "location lockableResourcesManager buildDiscarders timestamper globalDefaultFlowDurabilityLevel gitHubPluginConfig",
    ),
    "unclassified.location": (CORE, "url adminAddress"),
    "unclassified.lockableResourcesManager": ("lockable-resources", "declaredResources"),
    "unclassified.lockableResourcesManager.declaredResources[]": ("lockable-resources", "name description"),
    "unclassified.buildDiscarders": (CORE, "configuredBuildDiscarders"),
    "unclassified.buildDiscarders.configuredBuildDiscarders[]": (CORE, "simpleBuildDiscarder"),
    "unclassified.buildDiscarders.configuredBuildDiscarders[].simpleBuildDiscarder": (CORE, "discarder"),
    "unclassified.buildDiscarders.configuredBuildDiscarders[].simpleBuildDiscarder.discarder": (CORE, "logRotator"),
    "unclassified.buildDiscarders.configuredBuildDiscarders[].simpleBuildDiscarder.discarder.logRotator": (
        CORE,
        "numToKeepStr artifactNumToKeepStr",
    ),
    "unclassified.timestamper": ("timestamper", "allPipelines"),
    "unclassified.globalDefaultFlowDurabilityLevel": ("workflow-api", "durabilityHint"),
    "unclassified.gitHubPluginConfig": ("github", "hookSecretConfigs"),
    "unclassified.gitHubPluginConfig.hookSecretConfigs[]": ("github", "credentialsId"),
    "credentials": ("credentials", "system"),
    "credentials.system": ("credentials", "domainCredentials"),
    "credentials.system.domainCredentials[]": ("credentials", "credentials"),
    _CREDENTIALS: ("credentials", "file string usernamePassword basicSSHUserPrivateKey"),
    f"{_CREDENTIALS}.file": ("plain-credentials", "scope id description fileName secretBytes"),
    f"{_CREDENTIALS}.string": ("plain-credentials", "scope id description secret"),
    f"{_CREDENTIALS}.usernamePassword": ("credentials", "scope id description username password"),
    f"{_CREDENTIALS}.basicSSHUserPrivateKey": ("ssh-credentials", "scope id description username privateKeySource"),
    f"{_CREDENTIALS}.basicSSHUserPrivateKey.privateKeySource": ("ssh-credentials", "directEntry"),
    f"{_CREDENTIALS}.basicSSHUserPrivateKey.privateKeySource.directEntry": ("ssh-credentials", "privateKey"),
    "jobs[]": ("job-dsl", "script"),
}  # fmt: skip


# --- reading


class UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that is there twice is an error: most readers take the last and say nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in sorted(key for key in set(map(str, keys)) if list(map(str, keys)).count(key) > 1):
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def loaded(path: Path) -> Any:
    return _parsed(path.read_text())


@cache
def _parsed(text: str) -> Any:
    """Kept, because every check reads every file; nobody changes what comes out."""
    return yaml.load(text, UniqueKeys)


def casc_files(root: Path) -> list[Path]:
    """Every file that a controller may load."""
    return sorted([*(root / "jenkins/casc").glob("*.yaml"), *(root / "jenkins/options").glob("*.yaml")])


def documents(root: Path) -> dict[Path, Any]:
    return {path: loaded(path) for path in casc_files(root)}


def option(path: Path) -> str:
    """The option that loads the file; empty for what is always loaded."""
    return path.stem if path.parent.name == "options" else ""


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar, and every list and mapping on the way to it, by its path; entries of lists are `[]`."""
    yield path, node
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}".removeprefix("."))
    elif isinstance(node, list):
        for value in node:
            yield from leaves(value, f"{path}[]")


def at(root: Path, path: str) -> list[Any]:
    """What all files together have at a path."""
    return [value for document in documents(root).values() for found, value in leaves(document) if found == path]


def bare(groovy: str) -> str:
    """Groovy without comments and without what is in its strings."""
    return re.sub(r"//[^\n]*|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", lambda m: "" if m[0].startswith("/") else "''", groovy)


def names_of(groovy: str) -> set[str]:
    """The words that are called: at the beginning of a statement, or before `(` or `{`; also the one constant, `none`."""
    code = bare(groovy)
    statements = set(re.findall(r"(?:^|[{;])[ \t]*([a-z]\w*)\b(?![ \t]*[.:=])", code, re.MULTILINE))
    return statements | set(re.findall(r"\b([a-z]\w*)\s*[({]", code)) | set(re.findall(r"\bagent (none)\b", code))


def jenkinsfile(root: Path) -> str:
    return (root / "Jenkinsfile").read_text()


def seed(root: Path) -> str:
    return "\n".join(at(root, "jobs[].script"))


def plugin_files(root: Path) -> list[Path]:
    return [root / "jenkins/controller/plugins.txt", *sorted((root / "jenkins/options").glob("*.plugins.txt"))]


def pins(path: Path) -> list[str]:
    return [line.partition(" #")[0].strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def pinned(root: Path) -> set[str]:
    return {pin.partition(":")[0] for path in plugin_files(root) for pin in pins(path)}


def job_xml(root: Path) -> ElementTree.Element:
    return ElementTree.parse(root / "jenkins/jobs/slipway.xml").getroot()


def variables_of_example(root: Path) -> dict[str, str]:
    """Name -> value in env.example, those of options that are commented out too."""
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", (root / "jenkins/env.example").read_text(), re.MULTILINE))


def compose(root: Path) -> Any:
    return loaded(root / "jenkins/compose.yaml")


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Word and rest of every instruction, with continued lines joined."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [
        (word.upper(), rest.strip())
        for line in joined.splitlines()
        if line.strip()
        for word, _, rest in [line.strip().partition(" ")]
    ]


def stages(dockerfile: Path) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Name of a stage (its number where it has none) -> what it is made from, and its instructions."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for word, rest in instructions(dockerfile):
        if word == "FROM":
            words = rest.split()
            name = words[2] if len(words) > 2 else str(len(found))
            found[name] = (words[0], [])
        elif found:
            found[list(found)[-1]][1].append((word, rest))
    return found


def labels(root: Path) -> set[str]:
    """The labels that the Jenkinsfile asks for."""
    text = re.sub(r"//[^\n]*", "", jenkinsfile(root))
    return set(re.findall(r"label '([^']+)'|\bnode\('([^']+)'\)", text)) and {
        label for pair in re.findall(r"label '([^']+)'|\bnode\('([^']+)'\)", text) for label in pair if label
    }


# --- checks


def plugins_are_pinned(root: Path) -> list[str]:
    problems = []
    every = [pin for path in plugin_files(root) for pin in pins(path)]
    for path in plugin_files(root):
        problems += [f"{path.name}: {pin!r} is not one exact version" for pin in pins(path) if not PIN.fullmatch(pin)]
        names = [pin.partition(":")[0] for pin in pins(path)]
        problems += [f"{path.name} is not sorted"] if names != sorted(names) else []
    counted = groupby(sorted(pin.partition(":")[0] for pin in every))
    return problems + [f"{name} is pinned more than once" for name, group in counted if len(list(group)) > 1]


def plugins_are_those_that_are_used(root: Path) -> list[str]:
    problems: list[str] = []
    needed: set[str] = set(UNNAMED)
    for what, used, table in (("Jenkinsfile", names_of(jenkinsfile(root)), STEPS), ("seed", names_of(seed(root)), SEED)):
        problems += [f"{what}: nobody has said which plugin brings {name!r}" for name in sorted(used - table.keys())]
        problems += [f"{what}: {name!r} is in the table and not used" for name in sorted(table.keys() - used)]
        needed |= {table[name] for name in used & table.keys()}
    found: dict[str, set[str]] = {}
    for document in documents(root).values():
        for path, node in leaves(document):
            if isinstance(node, Mapping) and path:
                found.setdefault(path, set()).update(map(str, node))
    for path, keys in sorted(found.items()):
        plugin, known = KEYS.get(path, ("", ""))
        problems += [f"casc: {path}.{key} is no key that is known" for key in sorted(keys - set(known.split()))]
        needed |= {plugin} - {""}
    for path, (_, known) in KEYS.items():
        problems += [
            f"casc: {path}.{key} is in the table and not used" for key in sorted(set(known.split()) - found.get(path, set()))
        ]
    for name in class_names(root):
        plugin = next((plugin for prefix, plugin in CLASSES.items() if name.startswith(prefix)), "")
        problems += [] if plugin else [f"jobs/slipway.xml: nobody has said which plugin brings {name}"]
        needed |= {plugin} - {""}
    needed -= {CORE}
    problems += [f"the plugin {name} is used and not pinned" for name in sorted(needed - pinned(root))]
    return problems + [f"the plugin {name} is pinned and not used" for name in sorted(pinned(root) - needed)]


def class_names(root: Path) -> set[str]:
    """Every Java class that the job's XML names: by tag, or by the attribute `class`."""
    elements = list(job_xml(root).iter())
    return {e.tag for e in elements if "." in e.tag} | {e.get("class", "") for e in elements if "." in e.get("class", "")}


def yaml_is_sound(root: Path) -> list[str]:
    """Every file parses, with only known roots, and no key is there twice: in one file, or in two that may be loaded together."""
    problems, found = list[str](), dict[Path, Any]()
    for path in casc_files(root):
        try:
            found[path] = loaded(path)
        except yaml.YAMLError as error:
            problems.append(f"{path.name}: {error}")
            continue
        problems += [f"{path.name}: {name!r} is no root of a configuration" for name in sorted(found[path].keys() - ROOTS)]
    for one, other in combinations(found, 2):
        if {option(one), option(other)} == set(REALMS):
            continue
        kinds = [{path: node for path, node in leaves(found[file]) if "[]" not in path and path} for file in (one, other)]
        for path in sorted(kinds[0].keys() & kinds[1].keys() - EXTENDED):
            if not all(isinstance(kind[path], Mapping) for kind in kinds):
                problems.append(f"{path} is in {one.name} and in {other.name}")
    return problems


def secrets_are_variables(root: Path) -> list[str]:
    problems = []
    for path, document in [*documents(root).items(), (root / "jenkins/compose.yaml", compose(root))]:
        for name, value in leaves(document):
            key = name.rpartition(".")[2]
            if SECRET_KEY.search(key) and isinstance(value, str | int) and not SECRET_VALUE.fullmatch(str(value)):
                problems.append(f"{path.name}: {name} is written out")
    for name, value in variables_of_example(root).items():
        problems += [f"env.example: {name} has a value"] if SECRET_NAME.search(name) and value else []
    for path in sorted(p for p in (root / "jenkins").rglob("*") if p.is_file() and p.name != ".env"):
        problems += [f"{path.name} has something that looks like a key: {m}…" for m in SECRET_TEXT.findall(path.read_text())]
    return problems


def variables_are_documented(root: Path) -> list[str]:
    texts = [path.read_text() for path in [*casc_files(root), root / "jenkins/compose.yaml"]]
    code = "\n".join(line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#"))
    used, example = set(VARIABLE.findall(code)), set(variables_of_example(root))
    table = set(re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \|", (root / "jenkins/README.md").read_text(), re.MULTILINE))
    problems = [f"{name} is used and not in env.example" for name in sorted(used - example)]
    problems += [f"{name} is in env.example and not used" for name in sorted(example - used)]
    problems += [f"{name} is used and not in README.md" for name in sorted(used - table)]
    return problems + [f"{name} is in README.md and not used" for name in sorted(table - used)]


def labels_have_agents(root: Path) -> list[str]:
    """One set of labels: of the Jenkinsfile, of both clouds, and of the images; each image is built from the stage of its label."""
    file = root / "jenkins/agents/Dockerfile"
    with_java = {name for name, (_, body) in stages(file).items() if any(w == "COPY" and "--from=java" in rest for w, rest in body)}
    wanted, problems = labels(root), list[str]()
    for where, there in (
        ("Docker cloud", set(at(root, f"{_TEMPLATE}.labelString"))),
        ("EC2 cloud", set(at(root, f"{_AMAZON}.templates[].labelString"))),
        ("agents/Dockerfile", with_java),
        (
            "compose.yaml",
            {service["build"]["target"] for service in compose(root)["services"].values() if "target" in service["build"]},
        ),
    ):
        problems += [f"the {where} has no {label!r}" for label in sorted(wanted - there)]
        problems += [f"the {where} has {label!r}, and the Jenkinsfile asks for no such agent" for label in sorted(there - wanted)]
    images = {t["labelString"]: t["dockerTemplateBase"]["image"] for t in at(root, _TEMPLATE)}
    built = {s["build"]["target"]: s["image"] for s in compose(root)["services"].values() if "target" in s["build"]}
    for label in sorted(images.keys() & built.keys()):
        started, made = VARIABLE.findall(images[label]), VARIABLE.findall(built[label])
        problems += [f"the agent {label!r} is started from {started} and built as {made}"] if started != made or not made else []
    return problems


def agents_are_as_the_local_provider_needs_them(root: Path) -> list[str]:
    problems = []
    known = {f"SLIPWAY_{f.name.upper()}" for f in fields(Settings)} - {"SLIPWAY_ENVIRONMENTS"}
    for template in at(root, _TEMPLATE):
        label, base = template["labelString"], template["dockerTemplateBase"]
        environment = dict(line.split("=", 1) for line in base["environmentsString"].split())
        wanted = {"SLIPWAY_STATE": STATE, "SLIPWAY_WHEELHOUSE": f"{STATE}/wheelhouse"}
        problems += [] if base["network"] == "host" else [f"{label} is not in the machine's network"]
        problems += [] if environment == wanted else [f"{label} keeps its state elsewhere: {environment}"]
        problems += [f"{label} sets {name}, which is no setting" for name in sorted(environment.keys() - known)]
        targets = {mount.rpartition("destination=")[2] for mount in base["mounts"]}
        problems += [f"{label} has no {target}" for target in sorted({STATE, "/var/run/docker.sock"} - targets)]
        problems += [] if "retentionStrategy" in template else [f"{label} does not say that it is used once"]
    volumes = {mount for mounts in at(root, f"{_TEMPLATE}.dockerTemplateBase.mounts") for mount in mounts if "type=volume" in mount}
    problems += [] if len(volumes) == 1 else [f"the agents have not one state: {sorted(volumes)}"]
    bound = set(re.findall(r"(SLIPWAY_\w+)\s*=", jenkinsfile(root)))
    secrets = {f"SLIPWAY_{name.upper()}" for name in SECRETS}
    return problems + [f"the Jenkinsfile sets {name}, which is no setting" for name in sorted(bound - known - secrets)]


def agents_have_the_locks_they_say(root: Path) -> list[str]:
    """`deploy` has the two that it needs, `cpu` has all, and the context lets through what is copied."""
    file, problems = root / "jenkins/agents/Dockerfile", list[str]()
    all_stages = stages(file)
    for name, copied, names, argument in (
        (
            "environment-deploy",
            "requirements/bootstrap.txt requirements/pipeline.txt",
            ["bootstrap pipeline"],
            "--locks $AGENT_LOCKS",
        ),
        ("environment-cpu", "requirements/*.txt", [], ""),
    ):
        body = all_stages[name][1]
        copies = [rest for word, rest in body if word == "COPY"]
        problems += [] if copies == [f"{copied} /opt/slipway/requirements/"] else [f"{name} copies {copies}"]
        said = [m[1] for word, rest in body if word == "ENV" for m in [re.fullmatch(r'AGENT_LOCKS="(.*)"', rest)] if m]
        problems += [] if said == names else [f"{name} says that its locks are {said}"]
        made = [m[1].strip() for word, rest in body if word == "RUN" for m in [re.search(r"bootstrap\.py([^&]*)", rest)] if m]
        problems += [] if made == [argument] else [f"{name} is made with {made}"]
    for label in labels(root):
        if (made_from := all_stages[label][0]) != f"environment-{label}":
            problems.append(f"{label} is made from {made_from}")
    let_through = set(re.findall(r"^!(.+)$", file.with_name("Dockerfile.dockerignore").read_text(), re.MULTILINE))
    sources = {
        source for _, body in all_stages.values() for word, rest in body if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }  # fmt: skip
    shut_out = {
        s for s in sources if s not in let_through and not (s.startswith("requirements/") and "requirements/*.txt" in let_through)
    }
    return problems + [f"{source} is copied and ignored" for source in sorted(shut_out)]


def locks_are_declared(root: Path) -> list[str]:
    taken = set(re.findall(r"\block\(resource: '([^']+)'", jenkinsfile(root)))
    declared = set(at(root, "unclassified.lockableResourcesManager.declaredResources[].name"))
    problems = [f"the Jenkinsfile locks {name}, which is not declared" for name in sorted(taken - declared)]
    return problems + [f"{name} is declared and never locked" for name in sorted(declared - taken)]


def roles_may_what_they_should(root: Path) -> list[str]:
    groups = {entry["name"]: set(entry["permissions"]) for entry in at(root, f"{_ENTRY}.group")}
    users = {entry["name"]: set(entry["permissions"]) for entry in at(root, f"{_ENTRY}.user")}
    problems = [] if tuple(groups) == ROLES else [f"the roles are {sorted(groups)}"]
    problems += [] if users == groups else ["the accounts of options/users.yaml may not what their roles may"]
    accounts = [user["id"] for user in at(root, "jenkins.securityRealm.local.users[]")]
    problems += [] if accounts == list(users) else [f"there are accounts for {accounts}, and permissions for {list(users)}"]
    for submitter in re.findall(r"submitter '([^']+)'", jenkinsfile(root)):
        missing = {"Overall/Read", "Job/Read", "Job/Build"} - groups.get(submitter, set())
        problems += [f"{submitter} is to approve, and lacks {name}" for name in sorted(missing)]
    acts = {"Job/Build", "Job/Cancel", "Job/Configure", "Job/Create", "Job/Delete", "Run/Replay", "Overall/Administer"}
    problems += [f"readers have {name}" for name in sorted(groups.get("readers", set()) & acts)]
    # Who may change a job or replay a build may leave out the approval.
    strong = {"Overall/Administer", "Job/Configure", "Job/Create", "Run/Replay"}
    for name in sorted(groups.keys() - {"admins"}):
        problems += [f"{name} have {permission}" for permission in sorted(groups[name] & strong)]
    for name in sorted({"anonymous", "authenticated"} & (groups.keys() | users.keys())):
        problems.append(f"{name} may something")
    problems += [] if at(root, "jenkins.crumbIssuer.standard") else ["there are no crumbs"]
    return problems + ([] if at(root, "jenkins.securityRealm.local.allowsSignup") == [False] else ["everybody may sign up"])


def credentials_exist(root: Path) -> list[str]:
    kinds = {body["id"]: (kind, body["scope"]) for entry in at(root, _CREDENTIALS) for kind, body in entry.items()}
    of_builds = {
        *re.findall(r"\bcredentials\('([^']+)'\)", jenkinsfile(root)),
        *re.findall(r"\bcredentialsId\('([^']+)'\)", seed(root)),
        *(e.text or "" for e in job_xml(root).iter("credentialsId")),
    }
    keys = re.compile(r"(^|\.)(credentialsId|pullCredentialsId|sshKeysCredentialsId)$")
    of_controller = {str(v) for d in documents(root).values() for path, v in leaves(d) if keys.search(path)}
    problems = [f"the credential {name!r} is used and not there" for name in sorted((of_builds | of_controller) - kinds.keys())]
    problems += [f"the credential {name!r} is there and not used" for name in sorted(kinds.keys() - of_builds - of_controller)]
    for name, (_, scope) in sorted(kinds.items()):
        wanted = "GLOBAL" if name in of_builds else "SYSTEM"
        problems += [] if scope == wanted else [f"the credential {name!r} is {scope} and has to be {wanted}"]
    return problems + ([] if kinds.get("slipway-ssh-key", ("",))[0] == "file" else ["slipway-ssh-key is no secret file"])


def nothing_runs_on_the_controller(root: Path) -> list[str]:
    wanted = {"jenkins.numExecutors": 0, "jenkins.slaveAgentPort": -1, "unclassified.location.url": "${CONTROLLER_URL}"}
    problems = [f"{path} is {at(root, path)}" for path, value in wanted.items() if at(root, path) != [value]]
    return problems + (
        [] if at(root, "security.globalJobDslSecurityConfiguration.useScriptSecurity") == [True] else ["scripts run freely"]
    )


def seed_makes_one_job(root: Path) -> list[str]:
    script = seed(root)
    folders, jobs = re.findall(r"\bfolder\('([^']+)'\)", script), re.findall(r"\b(\w+Job)\('([^']+)'\)", script)
    problems = [] if len(folders) == 1 else [f"the seed makes the folders {folders}"]
    problems += [] if [kind for kind, _ in jobs] == ["multibranchPipelineJob"] else [f"the seed makes the jobs {jobs}"]
    problems += [f"{name} is in no folder" for _, name in jobs if name.rpartition("/")[0] not in folders]
    default = Settings().jenkins_job
    problems += [f"the seed makes {name}, and the command line asks for {default}" for _, name in jobs if name != default]
    for wanted in (
        "gitHubBranchDiscovery",
        "gitHubTagDiscovery",
        "gitHubPullRequestDiscovery",
        "buildTags",
        "orphanedItemStrategy",
    ):
        problems += [] if wanted in names_of(script) else [f"the seed lacks {wanted}"]
    problems += ["the seed builds what strangers send"] if re.search("fork", bare(script), re.IGNORECASE) else []
    for where, path in (
        ("seed", "".join(re.findall(r"scriptPath\('([^']+)'\)", script))),
        ("slipway.xml", job_xml(root).findtext(".//scriptPath")),
    ):
        problems += [] if path and (root / path).exists() else [f"the {where} runs {path!r}, which is not there"]
    return problems


def dockerfiles_are_tight(root: Path) -> list[str]:
    problems = []
    for name, finals in (("controller", None), ("agents", labels(root))):
        file = root / f"jenkins/{name}/Dockerfile"
        every, arguments = stages(file), dict[str, str]()
        for word, rest in instructions(file):
            if word == "ADD":
                problems.append(f"{name}/Dockerfile adds {rest.split()[0]}")
            if word in ("ARG", "ENV"):
                problems += [
                    f"{name}/Dockerfile has a secret: {key}" for key in re.findall(r"(\w+)=", f"{rest}=") if SECRET_NAME.search(key)
                ]
            if word == "ARG":
                key, _, value = rest.partition("=")
                arguments.setdefault(key, value)
        for image in sorted({base for base, _ in every.values()} - every.keys()):
            variable = re.fullmatch(r"\$\{(\w+)\}", image)
            found = arguments.get(variable[1], "") if variable else image
            problems += [] if exact(found) else [f"{name}/Dockerfile starts from {found or image}"]
        for stage in finals or {list(every)[-1]}:
            problems += [] if user_of(stage, every) not in ("", "root", "0") else [f"{name}/Dockerfile: {stage} runs as root"]
    return problems


def exact(image: str) -> bool:
    """Whether an image is a digest or a tag that names a version or a release."""
    tag = image.rpartition("/")[2].partition(":")[2]
    return bool(re.search(r"@sha256:[0-9a-f]{64}$", image)) or (
        bool(tag) and tag != "latest" and bool(re.search(r"\d|bookworm", tag))
    )


def user_of(stage: str, every: Mapping[str, tuple[str, list[tuple[str, str]]]]) -> str:
    if stage not in every:
        return ""
    base, body = every[stage]
    users = [rest for word, rest in body if word == "USER"]
    return users[-1] if users else user_of(base, every)


def compose_is_tight(root: Path) -> list[str]:
    document, problems = compose(root), list[str]()
    for name, service in document["services"].items():
        image = VARIABLE.sub(lambda m: variables_of_example(root).get(m[1], "") + "|", service["image"]).partition("|")[0]
        problems += [] if exact(image) else [f"{name} is the image {service['image']!r}, and that is not one exact one"]
    service = document["services"]["controller"]
    for key, value in {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}.items():
        problems += [] if service.get(key) == value else [f"the controller lacks {key}"]
    problems += [f"the controller listens on {port}" for port in service["ports"] if not port.startswith("127.0.0.1:")]
    homes = [volume.partition(":")[0] for volume in service["volumes"] if volume.endswith(":/var/jenkins_home")]
    problems += (
        [] if len(homes) == 1 and homes[0] in document["volumes"] else [f"the controller's home is {homes}, and that is no volume"]
    )
    for key in ("privileged", "user", "network_mode", "environment"):
        problems += [f"the controller has {key}"] if key in service else []
    return problems


CHECKS: tuple[Callable[[Path], list[str]], ...] = (
    plugins_are_pinned,
    plugins_are_those_that_are_used,
    yaml_is_sound,
    secrets_are_variables,
    variables_are_documented,
    labels_have_agents,
    agents_are_as_the_local_provider_needs_them,
    agents_have_the_locks_they_say,
    locks_are_declared,
    roles_may_what_they_should,
    credentials_exist,
    nothing_runs_on_the_controller,
    seed_makes_one_job,
    dockerfiles_are_tight,
    compose_is_tight,
)
