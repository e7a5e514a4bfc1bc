"""RCNN_Masks: a folder for each class, and in it a raster for each image, whose pixels hold the number of their object or 0.

Objects that overlap lie in different bands. A chip without a mask in any folder is no sample; one whose masks are all 0 shows
nothing of the classes, and teaches what is none.
"""

from __future__ import annotations

from chipwright.chips.formats.esri import Export, counted
from chipwright.chips.formats.mask_folders import find_masks, labelled, labels_folder
from chipwright.chips.formats.mask_survey import survey_masks
from chipwright.chips.formats.part import Part, assemble
from chipwright.chips.formats.survey import check_type, survey
from chipwright.errors import listed

KEYWORD = "RCNN_Masks"


def read_rcnn_masks(export: Export) -> Part:
    """Return the folder's chips with their masks, and the boxes around their objects.

    Raises:
        DataError: if there is no folder of a class, chips differ in bands or pixel type, masks do not fit their images, or too
            many files are damaged.
    """
    folders = find_masks(export, labels_folder(export))
    if folders.empty:
        export.account.warnings.append(
            f"Found {counted(len(folders.empty), 'class folder')} without any mask "
            f"({listed(folder.name for folder in folders.empty)})."
        )
    found = survey(export, labelled(export, folders.of_chip))
    check_type(export, found)
    masked = survey_masks(export, found, folders.of_chip)
    chips = [one.outlined(one.found.chip()) for one in masked]
    if not any(len(facts.ids) for one in masked for facts in one.facts):
        export.account.warnings.append(f"The masks in {export.root} hold no object, only background.")
    return assemble(export, KEYWORD, [one.found for one in masked], chips, folders.classes, folders.own_values)
