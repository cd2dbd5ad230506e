"""C-MOVE: a PACS sends instances to the receiver of this home, as to any other destination (PS3.4, C.4.2)."""

from __future__ import annotations

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.dimse.asking import retrieval_identifier
from medsiglip.ingest.pacs.dimse.association import Conversation
from medsiglip.ingest.pacs.dimse.contexts import STUDY_ROOT_MOVE
from medsiglip.ingest.pacs.dimse.portions import Portion
from medsiglip.ingest.pacs.dimse.statuses import CANCELLED, IN_PART, PENDING, SUCCESS, failure

# Nothing comes on this association while instances go to the receiver, if the PACS sends no pending answers,
# which are optional (PS3.4, C.4.2.3).
_PATIENCE, _LEAST_PATIENCE = 20, 600.0
_MOST_ANSWERS = 1_000_000


def move(
    connection: Connection, study_instance_uid: str, portion: Portion, conversation: Conversation
) -> None:
    """Have a portion of a study sent, and wait until the PACS says that it was. Raises `PacsError`; what the
    PACS says that it could not send raises nothing, and neither does what it says and did not do.
    """
    if not conversation.accepts(STUDY_ROOT_MOVE):
        raise PacsError(
            "pacs-refused",
            f"{connection.name} does not let this AE title retrieve: allow C-MOVE for it there.",
        )
    question = retrieval_identifier(study_instance_uid, portion.series_instance_uid, portion.instances)
    status: int | None = None
    with conversation.operation(max(_PATIENCE * connection.timeout_seconds, _LEAST_PATIENCE)):
        answers = conversation.association.send_c_move(
            question,
            connection.move_destination or "",
            STUDY_ROOT_MOVE,
            msg_id=conversation.next_message_id(),
        )
        for number, (answered, _) in enumerate(answers):
            conversation.bounds.taken()
            status = answered.get("Status")
            if status is None or number > _MOST_ANSWERS:
                raise conversation.lost()
            if int(status) not in PENDING:
                break
        if status is None:
            raise conversation.lost()
    if int(status) not in (SUCCESS, CANCELLED) and int(status) not in IN_PART:
        raise failure(connection.name, int(status), connection.move_destination)
