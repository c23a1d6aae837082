"""The ClientApp: each message is unpacked, done by a plain function, and leaves by the outbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from crisp_client.actions import Request, describe, evaluate, hints, train
from crisp_client.outbox import Departure, checked, fault_of
from crisp_client.settings import load_settings, settings_of_partition
from crisp_core.errors import StudyError
from crisp_core.schema import wire
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.study import Study

app = ClientApp()
Action = Callable[[Request], Departure]


@app.query("describe")
def answer_describe(message: Message, context: Context) -> Message:
    """Say what this site has."""
    return _answer(describe, message, context)


@app.query("hints")
def answer_hints(message: Message, context: Context) -> Message:
    """Make this site's hints for the next generation; they stay here."""
    return _answer(hints, message, context)


@app.train()
def answer_train(message: Message, context: Context) -> Message:
    """Train one round."""
    return _answer(train, message, context)


@app.evaluate()
def answer_evaluate(message: Message, context: Context) -> Message:
    """Measure a model."""
    return _answer(evaluate, message, context)


def _answer(action: Action, message: Message, context: Context) -> Message:
    """Do what is asked; whatever goes wrong is written down here and leaves as a code."""
    site, log = "", None
    try:
        settings = _settings(context)
        site, log = settings.site, Path(settings.work) / "site.log"
        departure = checked(action(_request(message, settings)))
    except Exception as error:  # nothing of an error's text may leave
        departure = fault_of(error, log)
    return _message(departure, site, message)


def _settings(context: Context) -> SiteSettings:
    if "site-settings" in context.node_config:
        return load_settings(Path(str(context.node_config["site-settings"])))
    run_folder = Path(str(context.run_config["run"]))
    return settings_of_partition(run_folder, int(str(context.node_config["partition-id"])))


def _request(message: Message, settings: SiteSettings) -> Request:
    config = message.content.config_records[wire.CONFIG]
    if config[wire.PROTOCOL_KEY] != wire.PROTOCOL:
        raise StudyError(
            expected=f"protocol {wire.PROTOCOL}",
            got=str(config[wire.PROTOCOL_KEY]),
            where="message of the coordinator",
            fix="Install the same version of crisp-fl on both sides",
        )
    arrays = message.content.array_records[wire.ARRAYS]
    return Request(
        settings=settings,
        study=Study.model_validate_json(str(config[wire.STUDY_KEY])),
        plan=str(config[wire.PLAN_KEY]),
        parameters={name: array.numpy() for name, array in arrays.items()},
    )


def _message(departure: Departure, site: str, message: Message) -> Message:
    figures, fault = departure.figures, departure.fault
    config = ConfigRecord(
        {
            wire.SITE_KEY: site,
            wire.FIGURES_KEY: figures.model_dump_json() if figures else "",
            wire.FAULT_KEY: fault.model_dump_json() if fault else "",
        }
    )
    arrays = {name: Array(array) for name, array in departure.parameters.items()}
    content = RecordDict(
        {
            wire.ARRAYS: ArrayRecord(arrays),
            wire.METRICS: MetricRecord({wire.CASES_KEY: departure.case_count}),
            wire.CONFIG: config,
        }
    )
    return Message(content, reply_to=message)
