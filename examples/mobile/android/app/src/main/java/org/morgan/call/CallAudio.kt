package org.morgan.call

import android.content.Context
import android.media.AudioAttributes
import android.media.AudioDeviceCallback
import android.media.AudioDeviceInfo
import android.media.AudioFocusRequest
import android.media.AudioManager
import android.os.Build
import android.os.Handler
import android.os.Looper

/**
 * The phone's sound for the length of a call: focus, so that music stops and a phone call is heard of; and the way to a
 * headset, Bluetooth first, then wired, then the loudspeaker, also when one comes or goes.
 *
 * @param interrupted a phone call or another app takes the sound (true), and gives it back (false)
 */
class CallAudio(context: Context, private val interrupted: (Boolean) -> Unit) {
    private val manager = context.getSystemService(Context.AUDIO_SERVICE) as AudioManager
    private val handler = Handler(Looper.getMainLooper())
    private val focus = AudioFocusRequest.Builder(AudioManager.AUDIOFOCUS_GAIN_TRANSIENT_EXCLUSIVE)
        .setAudioAttributes(
            AudioAttributes.Builder().setUsage(AudioAttributes.USAGE_VOICE_COMMUNICATION)
                .setContentType(AudioAttributes.CONTENT_TYPE_SPEECH).build(),
        )
        .setOnAudioFocusChangeListener({ change -> interrupted(change < 0) }, handler)
        .build()
    private val devices = object : AudioDeviceCallback() {
        override fun onAudioDevicesAdded(added: Array<out AudioDeviceInfo>) = route()

        override fun onAudioDevicesRemoved(removed: Array<out AudioDeviceInfo>) = route()
    }

    /** Whether the sound is ours; a running phone call keeps it. */
    fun begin(): Boolean {
        if (manager.requestAudioFocus(focus) != AudioManager.AUDIOFOCUS_REQUEST_GRANTED) return false
        manager.mode = AudioManager.MODE_IN_COMMUNICATION
        manager.registerAudioDeviceCallback(devices, handler) // tells of those that there are, too
        return true
    }

    fun end() {
        manager.unregisterAudioDeviceCallback(devices)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) manager.clearCommunicationDevice() else leaveBluetooth()
        manager.mode = AudioManager.MODE_NORMAL
        manager.abandonAudioFocusRequest(focus)
    }

    private fun route() {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
            val there = manager.availableCommunicationDevices
            PREFERRED.firstNotNullOfOrNull { type -> there.find { it.type == type } }?.let(manager::setCommunicationDevice)
            return
        }
        val there = manager.getDevices(AudioManager.GET_DEVICES_OUTPUTS).map { it.type }
        val bluetooth = AudioDeviceInfo.TYPE_BLUETOOTH_SCO in there
        if (bluetooth) enterBluetooth() else leaveBluetooth()
        val wired = there.any { it == AudioDeviceInfo.TYPE_WIRED_HEADSET || it == AudioDeviceInfo.TYPE_USB_HEADSET }
        @Suppress("DEPRECATION")
        manager.isSpeakerphoneOn = !bluetooth && !wired
    }

    @Suppress("DEPRECATION")
    private fun enterBluetooth() {
        manager.startBluetoothSco()
        manager.isBluetoothScoOn = true
    }

    @Suppress("DEPRECATION")
    private fun leaveBluetooth() {
        manager.isBluetoothScoOn = false
        manager.stopBluetoothSco()
    }

    private companion object {
        val PREFERRED = intArrayOf(
            AudioDeviceInfo.TYPE_BLE_HEADSET,
            AudioDeviceInfo.TYPE_BLUETOOTH_SCO,
            AudioDeviceInfo.TYPE_USB_HEADSET,
            AudioDeviceInfo.TYPE_WIRED_HEADSET,
            AudioDeviceInfo.TYPE_BUILTIN_SPEAKER,
        ).toList()
    }
}
