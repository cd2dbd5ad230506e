"""`Archive`: a home and a model, with a method for each verb of the command line and the HTTP service."""

from __future__ import annotations

from medsiglip.api.archive import ingestion, rendering
from medsiglip.api.archive import labels as label_store
from medsiglip.api.archive import studies as cases
from medsiglip.api.archive.calibrating import calibrate as calibrating
from medsiglip.api.archive.calibrating import kept
from medsiglip.api.archive.drafts import report_import, routing_rules
from medsiglip.api.archive.drafts import reports as drafts
from medsiglip.api.archive.evaluating import drift, robustness, two_models, zero_shot
from medsiglip.api.archive.evaluating import probe as unseen_patients
from medsiglip.api.archive.evaluating import retrieval as neighbours
from medsiglip.api.archive.explaining import localisation, why
from medsiglip.api.archive.labelling import agreement, given, learning, queue
from medsiglip.api.archive.mapping import lists, making, places, shown
from medsiglip.api.archive.opened import OpenedArchive
from medsiglip.api.archive.pacs import accepting, delivering, fetching, pulling, syncing
from medsiglip.api.archive.pacs import connections as pacs
from medsiglip.api.archive.pacs import finding as pacs_questions
from medsiglip.api.archive.pictures import thumbnails as pictures
from medsiglip.api.archive.probes import (
    card,
    curves,
    exchange,
    predicting,
    predicting_all,
    registry,
    suggesting,
    training,
)
from medsiglip.api.archive.scores import classification
from medsiglip.api.archive.similar import search as retrieval
from medsiglip.api.archive.upkeep import backups, index_tuning, maintenance, reembedding


class Archive(OpenedArchive):
    """Cases in a home directory, encoded with one model.

    `home` is the folder (`~` is expanded), `model` is `tiny`, a checkpoint folder or a hub id; unset, the
    home's own model, else `tiny`. `options` are the other fields of `medsiglip.api.settings.Settings`; what
    is not given comes from the environment. Nothing is opened, created or loaded before a method needs it:
    a question about what the archive holds loads no model, and an ingest with nothing new loads no torch. Use
    it as a context manager, or call `close`.

    The methods are the verbs of this folder, functions that take an opened archive. They return the models of
    `medsiglip.answers`, whose fields can also be read by key, as in the JSON of the command line:
    `archive.search(text="melanoma")["hits"]`.
    """

    ingest = ingestion.ingest
    ingest_apart = ingestion.ingest_apart
    watch = ingestion.watch
    studies = cases.list_studies
    study = cases.show_study
    forget = cases.forget

    search = retrieval.search
    search_many = retrieval.search_many
    classify = classification.classify
    why = why.why
    measure_localisation = localisation.measure

    train_probe = training.train_probe
    probes = registry.list_probes
    probe = registry.show_probe
    delete_probe = registry.delete_probe
    export_probe = exchange.export_probe
    import_probe = exchange.import_probe
    suggest_cases = suggesting.suggest_cases
    probe_card = card.probe_card
    probe_card_page = card.probe_card_page
    probe_curves = curves.probe_curves
    probe_suspects = card.probe_suspects
    predict_probe = predicting.predict_probe
    predict_all = predicting_all.predict_all

    evaluate_retrieval = neighbours.evaluate_retrieval
    evaluate_zero_shot = zero_shot.evaluate_zero_shot
    evaluate_drift = drift.evaluate_drift
    evaluate_robustness = robustness.evaluate_robustness
    compare_retrieval = two_models.compare_retrieval
    compare_zero_shot = two_models.compare_zero_shot
    compare_probe = two_models.compare_probe
    evaluate_probe = unseen_patients.evaluate_probe

    make_map = making.make_map
    map = shown.show_map
    maps = shown.list_maps
    map_colours = shown.map_colours
    map_points = shown.map_points
    map_place = places.map_place
    map_outliers = lists.map_outliers
    map_duplicates = lists.map_duplicates

    calibrate = calibrating.calibrate
    calibrations = kept.list_calibrations
    calibration = kept.show_calibration
    remove_calibration = kept.remove_calibration

    embed = rendering.embed
    render = rendering.render
    import_labels = label_store.import_labels
    labels = label_store.list_labels
    study_labels = given.study_labels
    undo_labels = given.undo_labels
    label_queue = queue.label_queue
    label_agreement = agreement.label_agreement
    learning_curve = learning.learning_curve

    index_info = maintenance.index_info
    verify = maintenance.verify
    rebuild = maintenance.rebuild
    tune_index = index_tuning.tune_index
    compact = maintenance.compact
    reembed = reembedding.reembed
    drop_space = reembedding.drop_space
    make_thumbnails = pictures.make_thumbnails
    recover = maintenance.recover
    export = maintenance.export
    back_up = backups.back_up
    restore_backup = backups.restore_backup

    draft_report = drafts.draft_report
    report = drafts.show_report
    reports = drafts.list_reports
    review_report = drafts.review_report
    accept_report = accepting.accept_report
    edit_report = drafts.edit_report
    reject_report = drafts.reject_report
    export_report = drafts.export_report
    import_reports = report_import.import_reports

    routes = routing_rules.list_routes
    route = routing_rules.show_route
    put_route = routing_rules.put_route
    add_routes = routing_rules.add_routes
    remove_route = routing_rules.remove_route
    export_routes = routing_rules.export_routes
    test_route = routing_rules.try_route
    run_routes = routing_rules.run_routes

    pacs_connections = pacs.list_pacs
    pacs_connection = pacs.show_pacs
    add_pacs = pacs.add_pacs
    remove_pacs = pacs.remove_pacs
    pacs_echo = pacs.pacs_echo
    pacs_find = pacs_questions.pacs_find
    pacs_pull = pulling.pacs_pull
    pacs_sync = syncing.pacs_sync
    pacs_fetch = fetching.pacs_fetch
    pacs_release = fetching.pacs_release
    pacs_send = delivering.pacs_send
    pacs_deliveries = delivering.list_deliveries
